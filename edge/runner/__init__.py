"""What runs on the device, and the wire protocol that it speaks with the host."""
