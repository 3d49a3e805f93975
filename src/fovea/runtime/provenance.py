"""Moved to record; only until all branches have followed."""

from fovea.runtime.record import versions

__all__ = ["versions"]
