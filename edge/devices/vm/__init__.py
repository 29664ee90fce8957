"""A device that is a virtual machine: QEMU's `virt` board, a kernel of its own, the same system as the sandboxes."""
