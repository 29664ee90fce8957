"""The victim: data sets, the CNN, its training."""
