"""Parts of `benchmarks.adb_throughput`: clients of adb, query rates, the road people take today, a pulled cable."""
