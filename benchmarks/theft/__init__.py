"""Parts of `benchmarks.extraction`: what a thief with the device in hand copies, ours beside the peers."""
