"""Kinds of data, their targets and splits; the training loader; the store of maps."""
