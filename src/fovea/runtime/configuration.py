"""Moved to config; only until all branches have followed."""

from fovea.runtime.config import FREE, flat, is_under

__all__ = ["FREE", "flat", "is_under"]
