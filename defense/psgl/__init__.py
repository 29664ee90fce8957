"""PSGL after Khowaja et al. (arXiv 2201.04569), reconstructed: what is read and what is decided, see `docs/psgl.md`."""
