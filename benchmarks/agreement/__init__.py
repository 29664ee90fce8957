"""What `benchmarks.latency_agreement` holds our latency against."""
