"""Models that run without fovea: a graph from pixels to probabilities, a model card, a script."""
