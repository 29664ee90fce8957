"""Latency on the device, statistics, records and the reports made from them."""
