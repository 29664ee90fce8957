"""Devices: how a device spec becomes an open connection, and the embedded device."""
