"""Moved to processes; only until all branches have followed."""

from fovea.runtime.processes import moved, pick

__all__ = ["moved", "pick"]
