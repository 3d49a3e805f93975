"""Segmentation models from the gaze of doctors and other cheap labels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fovea import losses as losses
    from fovea.engine.model import load as load
    from fovea.models.propagation import propagate as propagate
    from fovea.models.released import load_cmc as load_cmc
    from fovea.models.released import load_gazemedseg as load_gazemedseg
    from fovea.prepare.labels.heatmap import heatmap as heatmap
    from fovea.prepare.refiners.densecrf import refine as refine

__version__ = "0.1.0"

# Imported on first use: `import fovea` needs neither torch nor Numba.
_MODULES = {
    "heatmap": "fovea.prepare.labels.heatmap",
    "load": "fovea.engine.model",
    "load_cmc": "fovea.models.released",
    "load_gazemedseg": "fovea.models.released",
    "propagate": "fovea.models.propagation",
    "refine": "fovea.prepare.refiners.densecrf",
}

__all__ = ["heatmap", "load", "load_cmc", "load_gazemedseg", "losses", "propagate", "refine"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name == "losses":
        return import_module("fovea.losses")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'fovea' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
