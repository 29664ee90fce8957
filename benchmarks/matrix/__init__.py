"""What `benchmarks.export_matrix` measures, part by part."""
