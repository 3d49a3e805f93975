"""Training, evaluation and checkpoints; the only folder that imports Lightning."""
