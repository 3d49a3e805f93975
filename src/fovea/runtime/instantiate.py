"""Moved to config; only until all branches have followed."""

from fovea.runtime.config import instantiate, locate, targets

__all__ = ["instantiate", "locate", "targets"]
