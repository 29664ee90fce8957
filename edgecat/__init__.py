"""edgecat: measure how much of a medical CNN can be copied through the device that runs it."""

__version__ = "0.1.0"
