"""The Python API: names that are imported on first use."""

import json
import subprocess
import sys

import numpy as np
import pytest

import fovea


def test_import_is_light() -> None:
    heavy = ("torch", "numba", "scipy", "cv2", "numpy")
    code = f"import sys, json, fovea; dir(fovea); print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("name", fovea.__all__)
def test_names(name: str) -> None:
    assert name in dir(fovea) and getattr(fovea, name) is getattr(fovea, name)


def test_heatmap_and_refine() -> None:
    heat = fovea.heatmap(np.array([0.5]), np.array([0.5]), np.array([200.0]), (30, 40))
    refined = fovea.refine(np.full((30, 40, 3), 90, np.uint8), heat)
    assert heat.shape == refined.shape == (30, 40) and refined.dtype == np.float32
    assert callable(fovea.losses.consistency.cross_level_consistency)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = fovea.magic
