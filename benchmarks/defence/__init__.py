"""Parts of `benchmarks.defenses`: what each defence costs, and what the attacks that test it still get."""
