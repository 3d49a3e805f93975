"""Segmentation models from where a doctor looks, and from other cheap labels."""

__version__ = "0.1.0"
