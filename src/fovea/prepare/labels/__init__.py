"""One file for each kind of label: from the annotation of an image to a map."""
