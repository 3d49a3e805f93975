"""What watches a training: one file a callback."""
