"""What protects a model and the patients behind it, each held against the attacks that test it."""
