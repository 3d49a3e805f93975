"""Pictures of images, maps and masks."""
