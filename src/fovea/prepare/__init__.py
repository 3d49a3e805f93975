"""From labels to a store of maps."""
