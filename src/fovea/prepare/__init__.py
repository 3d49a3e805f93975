"""The prepare stage: from labels to a store of maps."""
