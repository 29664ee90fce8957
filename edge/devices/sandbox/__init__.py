"""Devices without a virtual machine: AOSP's adbd in namespaces of its own, without root; arm64 by QEMU's user mode."""
