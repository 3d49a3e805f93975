"""The refiners: what they are for, what they refuse, and that the dense CRFs agree."""

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

from fovea.prepare.refiners.crf import BACKENDS, check_backend, refine

HALVES = np.zeros((24, 32, 3), np.uint8)
HALVES[:, 16:] = 200
RAMP = np.tile(np.linspace(0.1, 0.7, 32, dtype=np.float32), (24, 1))
DENSE = ["lattice", "torch", "pydensecrf"]


@pytest.fixture(params=DENSE)
def dense(request: pytest.FixtureRequest) -> str:
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


def test_the_map_is_drawn_to_the_edge_of_the_image(dense: str) -> None:
    refined = refine(HALVES, RAMP, compat=3.0, backend=dense)
    assert refined[:, :16].max() < 0.1 < 0.9 < refined[:, 16:].min()


def test_without_a_pairwise_term_the_map_stays(dense: str) -> None:
    np.testing.assert_allclose(refine(HALVES, RAMP, compat=0.0, backend=dense), RAMP, atol=1e-5)


def test_without_iterations_the_map_stays(dense: str) -> None:
    np.testing.assert_allclose(refine(HALVES, RAMP, iterations=0, backend=dense), RAMP, atol=1e-5)


@pytest.mark.parametrize("values", [np.zeros((6, 5)), np.ones((6, 5))], ids=["zeros", "ones"])
def test_certainty_stays_finite(values: np.ndarray, dense: str) -> None:
    refined = refine(np.zeros((6, 5, 3), np.uint8), values.astype(np.float32), backend=dense)
    np.testing.assert_allclose(refined, values, atol=1e-3)


@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "pydensecrf"])
def test_grey_is_three_equal_channels(backend: str) -> None:
    np.testing.assert_array_equal(refine(HALVES[..., :1], RAMP, backend=backend), refine(HALVES, RAMP, backend=backend))


@pytest.mark.parametrize("layout", ["read-only", "strided"])
def test_the_image_may_lie_in_memory_as_it_likes(layout: str, dense: str) -> None:
    image = np.asfortranarray(HALVES) if layout == "strided" else HALVES.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(refine(image, RAMP, backend=dense), refine(HALVES, RAMP, backend=dense))


@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "pydensecrf"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 3)])
def test_result_is_float32_of_the_maps_shape(backend: str, size: tuple[int, int]) -> None:
    image, target = scene(*size)
    given = target.copy()
    refined = refine(image, target.astype(np.float64), backend=backend)
    assert (refined.dtype, refined.shape) == (np.float32, size)
    assert refined.min() >= 0
    assert refined.max() <= 1
    np.testing.assert_array_equal(target, given)


@pytest.mark.parametrize("backend", ["torch", "pydensecrf"])
@pytest.mark.parametrize(("sxy", "srgb"), [(80.0, 13.0), (1.0, 13.0), (80.0, 1.0), (1e9, 1e9)])
@pytest.mark.parametrize("compat", [1.0, 3.0])
def test_the_dense_crfs_agree(backend: str, sxy: float, srgb: float, compat: float) -> None:
    if backend == "pydensecrf":
        pytest.importorskip("pydensecrf.densecrf")
    image, target = scene(60, 80)
    ours, theirs = (
        refine(image, target, compat, sxy, srgb, backend=name, tolerance=0.0) for name in ("lattice", backend)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("backend", ["lattice", "torch"])
def test_tolerance_stops_early_and_near(backend: str) -> None:
    image, target = scene(60, 80)
    steps = [refine(image, target, iterations=count, backend=backend, tolerance=0.0) for count in range(11)]
    changes = [np.abs(after - before).max() for before, after in pairwise(steps)]
    first = next(count for count, change in enumerate(changes, 1) if change <= 1e-3)
    assert first < 10
    np.testing.assert_array_equal(refine(image, target, backend=backend, tolerance=1e-3), steps[first])


def test_equal_input_gives_equal_bytes_in_any_process() -> None:
    image, target = scene(70, 90)
    here = hashlib.sha256(refine(image, target).tobytes()).hexdigest()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        there = pool.submit(refine, image, target).result()
    assert hashlib.sha256(there.tobytes()).hexdigest() == here


SCRIPT = """
import numpy as np
from fovea.prepare.refiners.densecrf import kernels
print(kernels.blur(np.array([1, 2, 0], np.float32), np.ones((6, 2, 2), np.int32)))
"""


def test_processes_that_compile_at_once_and_one_that_cannot_cache(tmp_path: Path) -> None:
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
from fovea.prepare.refiners.crf import refine
refine(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32))  # compiles, or loads what was compiled
rows = np.arange(4000, dtype=np.float32)
image = np.repeat((np.add.outer(rows, rows) / 32).astype(np.uint8)[..., None], 3, axis=2)
target = np.full(image.shape[:2], 0.4, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refine(image, target, iterations=1)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / target.size)
"""


def test_sixteen_million_pixels_take_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 90  # bytes a pixel


def test_backend_none_returns_a_copy() -> None:
    refined = refine(HALVES, RAMP, backend="none")
    refined[:] = 0
    assert RAMP.max() == np.float32(0.7)


def test_unknown_backend_names_the_choices() -> None:
    choices = ", ".join(BACKENDS)
    with pytest.raises(ValueError, match=rf"refine: 'magic' is not known; use one of {choices}"):
        check_backend("magic")


def test_missing_library_names_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.prepare.refiners.crf.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"make crf.*refine=lattice"):
        check_backend("pydensecrf")


@pytest.mark.parametrize("backend", ["lattice", "torch"])
@pytest.mark.parametrize(("sxy", "srgb"), [(1e-3, 13.0), (80.0, 1e-4), (1e-300, 1e-300)])
def test_a_kernel_too_narrow_to_number_its_lattice_is_refused(backend: str, sxy: float, srgb: float) -> None:
    image, target = scene(300, 400)
    with pytest.raises(ValueError, match=r"refine\.sxy=.*refine\.srgb=.*too small for an image of 400 x 300"):
        refine(image, target, 1.0, sxy, srgb, backend=backend)


@pytest.mark.parametrize("image", [np.zeros((4, 5), np.uint8), np.zeros((5, 4, 3), np.uint8)])
def test_image_and_map_of_different_size_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        refine(image, np.zeros((4, 5), np.float32), backend="none")
