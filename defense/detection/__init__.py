"""Detection: does somebody ask as a thief asks? See docs/detection.md."""
