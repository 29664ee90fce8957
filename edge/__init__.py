"""Devices: the host's side of adb, emulated and physical devices, the runner that answers queries on them."""
