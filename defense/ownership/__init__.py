"""Ownership: a mark in the answers that a copy of the model keeps. See docs/detection.md."""
