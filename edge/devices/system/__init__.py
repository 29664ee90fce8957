"""The system of the emulated devices: AOSP's adbd, mksh and toybox as Debian packages, laid out as a phone has it."""
