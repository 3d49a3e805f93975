"""One file a kind of label: from annotations of an image to a map."""
