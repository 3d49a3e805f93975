"""Moved to processes; only until all branches have followed."""

from fovea.runtime.processes import in_parallel as each

__all__ = ["each"]
