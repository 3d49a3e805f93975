"""The dense CRF: its effect, its agreement with the published library, and what it refuses."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from fovea.prepare.refiners.densecrf import refine
from fovea.prepare.refiners.densecrf.pydensecrf import DenseCrf

HALVES = np.zeros((24, 32, 3), np.uint8)
HALVES[:, 16:] = 200
RAMP = np.tile(np.linspace(0.1, 0.7, 32, dtype=np.float32), (24, 1))
OURS = ["lattice", "torch"]


@pytest.fixture(params=[*OURS, "pydensecrf"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "pydensecrf":
        pytest.importorskip("pydensecrf.densecrf")
    return request.param


def scene(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image with a bright patch, and a map that covers it loosely."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    patch = np.exp(-((rows - 0.4) ** 2 + (columns - 0.5) ** 2) / 0.02)
    image = 60 + 120 * (patch > 0.4)[..., None] + rng.normal(0, 6, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), (0.9 * patch + 0.05).astype(np.float32)


def test_fits_map_to_edge(backend: str) -> None:
    refined = refine(HALVES, RAMP, compat=3.0, backend=backend)
    assert refined[:, :16].max() < 0.1 < 0.9 < refined[:, 16:].min()


@pytest.mark.parametrize("options", [{"compat": 0.0}, {"iterations": 0}])
def test_keeps_map_without_pairwise_term_or_steps(options: dict, backend: str) -> None:
    np.testing.assert_allclose(refine(HALVES, RAMP, **options, backend=backend), RAMP, atol=1e-5)


@pytest.mark.parametrize("layout", ["read-only", "strided"])
def test_memory_layout_does_not_matter(layout: str, backend: str) -> None:
    image = np.asfortranarray(HALVES) if layout == "strided" else HALVES.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(refine(image, RAMP, backend=backend), refine(HALVES, RAMP, backend=backend))


@pytest.mark.parametrize("name", OURS)
def test_gray_is_three_equal_channels(name: str) -> None:
    np.testing.assert_array_equal(refine(HALVES[..., :1], RAMP, backend=name), refine(HALVES, RAMP, backend=name))


@pytest.mark.parametrize("name", ["torch", "pydensecrf"])
@pytest.mark.parametrize(("sxy", "srgb"), [(80.0, 13.0), (1.0, 13.0), (80.0, 1.0), (1e9, 1e9)])
@pytest.mark.parametrize("compat", [1.0, 3.0])
def test_implementations_agree(name: str, sxy: float, srgb: float, compat: float) -> None:
    if name == "pydensecrf":
        pytest.importorskip("pydensecrf.densecrf")
    image, target = scene(60, 80)
    ours, theirs = (refine(image, target, compat, sxy, srgb, backend=one, tolerance=0.0) for one in ("lattice", name))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_tolerance_stops_early(name: str) -> None:
    image, target = scene(60, 80)
    steps = [refine(image, target, iterations=count, backend=name, tolerance=0.0) for count in range(11)]
    changes = [np.abs(after - before).max() for before, after in pairwise(steps)]
    first = next(count for count, change in enumerate(changes, 1) if change <= 1e-3)
    assert first < 10
    np.testing.assert_array_equal(refine(image, target, backend=name, tolerance=1e-3), steps[first])


@pytest.mark.slow
def test_same_bytes_in_another_process() -> None:
    image, target = scene(70, 90)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        other = pool.submit(refine, image, target).result()
    assert hashlib.sha256(other.tobytes()).digest() == hashlib.sha256(refine(image, target).tobytes()).digest()


SCRIPT = """
import numpy as np
from fovea.prepare.refiners.densecrf import kernels
print(kernels.blur(np.array([1, 2, 0], np.float32), np.ones((6, 2, 2), np.int32)))
"""


@pytest.mark.slow
def test_processes_compile_at_once_and_without_cache(tmp_path: Path) -> None:
    fresh = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    nowhere = os.environ | {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    started = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, text=True)
        for environment in (fresh, fresh, nowhere)
    ]
    printed = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(printed) == 1
    assert list((tmp_path / "cache").rglob("*.nbi"))


MEMORY = """
import resource, numpy as np
from fovea.prepare.refiners.densecrf import refine
refine(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32))  # compiles, or loads what was compiled
rows = np.arange(4000, dtype=np.float32)
image = np.repeat((np.add.outer(rows, rows) / 32).astype(np.uint8)[..., None], 3, axis=2)
target = np.full(image.shape[:2], 0.4, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refine(image, target, iterations=1)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / target.size)
"""


@pytest.mark.slow
def test_memory_of_sixteen_million_pixels() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 90  # bytes a pixel


@pytest.mark.parametrize(
    ("image", "probability", "options", "message"),
    [
        (HALVES, RAMP, {"backend": "magic"}, "backend must be one of lattice, torch, pydensecrf, got 'magic'"),
        (HALVES[..., 0], RAMP, {}, "must have one size"),
        (HALVES[:9], RAMP, {}, "must have one size"),
        (HALVES / 255, RAMP, {}, r"image must be uint8 .*, got float64 \(24, 32, 3\)"),
        (HALVES[..., [0, 1, 2, 0]], RAMP, {}, r"image must be uint8 .*, got uint8 \(24, 32, 4\)"),
        (HALVES, RAMP * 255, {}, r"probability must be in \[0, 1\]"),
        (HALVES, np.where(RAMP > 0.6, np.nan, RAMP), {}, r"probability must be in \[0, 1\], without NaN"),
        (HALVES, RAMP, {"sxy": 1e-300}, "sxy=1e-300 and srgb=13 are too small for 32 x 24"),
        (HALVES, RAMP, {"srgb": 1e-300, "backend": "torch"}, "too small"),
    ],
)
def test_refused_arguments(image: np.ndarray, probability: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refine(image, probability, **options)


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.prepare.refiners.densecrf.pydensecrf.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"make crf.*refine=lattice"):
        DenseCrf(1.0, 80.0, 13.0, 10)
