"""One file for each refiner: from an image and a map to a map with the edges of the image."""
