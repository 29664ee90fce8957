"""The embedded device: the device side of adb as a child process on loopback, in plain Python.

Runs commands of the host's user on the host's files: a stand-in for a phone in demos and tests, no sandbox. What keeps
others out is adb's RSA authentication, which it always demands.
"""
