"""Images, masks and splits; the data module."""
