"""One file a supervision mode."""
