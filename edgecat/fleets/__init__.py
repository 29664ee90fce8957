"""Fleets: one model on many devices at once, checked where it runs, and the former one back where it is not well.

The road inside the package: `fleet_file` reads FLEET.toml, `health` has the known images, `pointer` says which model a
device uses, `member` does one device's part, `deploying` goes through the phases with all of them, `status` only looks.
"""
