"""Volumes of several modalities: from a list of NIfTI files to crops of two streams."""
