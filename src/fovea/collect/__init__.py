"""A page on which people label images in a browser."""
