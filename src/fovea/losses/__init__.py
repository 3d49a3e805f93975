"""Losses that no library has, and the value of unlabeled pixels."""

IGNORE = -1
"""The value of a pixel that nobody labeled, in masks and targets. Losses and metrics leave these pixels out."""
