"""Split learning: a client keeps its images and the first layers, a server has the rest."""
