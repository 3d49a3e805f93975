"""Images: folders and data sets, training samples, splits that are scored."""
