"""The host's side of adb: direct connections, or through an adb server."""
