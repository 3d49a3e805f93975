"""One file a refiner: from an image and a map to a map."""
