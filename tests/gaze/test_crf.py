"""The dense CRF: what it is for, and what it refuses."""

import numpy as np
import pytest

from fovea.gaze.crf import check_backend, refine
from fovea.runtime.errors import FoveaError

HALVES = np.zeros((24, 32, 3), np.uint8)
HALVES[:, 16:] = 200
RAMP = np.tile(np.linspace(0.1, 0.7, 32, dtype=np.float32), (24, 1))


@pytest.fixture
def pydensecrf() -> None:
    pytest.importorskip("pydensecrf.densecrf")


@pytest.mark.usefixtures("pydensecrf")
def test_the_map_is_drawn_to_the_edge_of_the_image() -> None:
    refined = refine(HALVES, RAMP, compat=3.0)
    assert refined[:, :16].max() < 0.1 < 0.9 < refined[:, 16:].min()


@pytest.mark.usefixtures("pydensecrf")
def test_without_a_pairwise_term_the_map_stays() -> None:
    np.testing.assert_allclose(refine(HALVES, RAMP, compat=0.0), RAMP, atol=1e-5)


@pytest.mark.usefixtures("pydensecrf")
@pytest.mark.parametrize("values", [np.zeros((6, 5)), np.ones((6, 5))], ids=["zeros", "ones"])
def test_certainty_stays_finite(values: np.ndarray) -> None:
    refined = refine(np.zeros((6, 5, 3), np.uint8), values.astype(np.float32))
    np.testing.assert_allclose(refined, values, atol=1e-3)


@pytest.mark.usefixtures("pydensecrf")
def test_grey_is_three_equal_channels() -> None:
    np.testing.assert_array_equal(refine(HALVES[..., :1], RAMP), refine(HALVES, RAMP))


@pytest.mark.usefixtures("pydensecrf")
@pytest.mark.parametrize("layout", ["read-only", "strided"])
def test_the_image_may_lie_in_memory_as_it_likes(layout: str) -> None:
    image = np.asfortranarray(HALVES) if layout == "strided" else HALVES.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(refine(image, RAMP), refine(HALVES, RAMP))


@pytest.mark.usefixtures("pydensecrf")
def test_result_is_float32_of_the_maps_shape() -> None:
    refined = refine(HALVES, RAMP.astype(np.float64))
    assert (refined.dtype, refined.shape) == (np.float32, RAMP.shape)


def test_backend_none_returns_a_copy() -> None:
    refined = refine(HALVES, RAMP, backend="none")
    refined[:] = 0
    assert RAMP.max() == np.float32(0.7)


def test_unknown_backend_names_the_choices() -> None:
    with pytest.raises(FoveaError, match=r"gaze\.crf\.backend: 'magic' is not known; use one of pydensecrf, none"):
        check_backend("magic")


def test_missing_library_names_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.gaze.crf.find_spec", lambda name: None)
    with pytest.raises(FoveaError, match=r"make crf.*gaze\.crf\.backend=none"):
        check_backend("pydensecrf")


@pytest.mark.parametrize("image", [np.zeros((4, 5), np.uint8), np.zeros((5, 4, 3), np.uint8)])
def test_image_and_map_of_different_size_are_refused(image: np.ndarray) -> None:
    with pytest.raises(FoveaError, match="do not belong together"):
        refine(image, np.zeros((4, 5), np.float32), backend="none")
