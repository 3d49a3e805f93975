"""Losses that no library has, and the value of unlabeled pixels."""

from importlib import import_module
from typing import Any

IGNORE = -1
"""The value of a pixel that nobody labeled, in masks and targets. Losses and metrics leave these pixels out."""


def __getattr__(name: str) -> Any:
    """Import `fovea.losses.consistency`, which is part of the Python API, on first use."""
    if name == "consistency":
        return import_module("fovea.losses.consistency")
    raise AttributeError(f"module 'fovea.losses' has no attribute {name!r}")
