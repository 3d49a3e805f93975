"""Surface distances, compared with all pairs of border pixels and with MONAI."""

import math

import numpy as np
import pytest

from fovea.losses import IGNORE
from fovea.metrics.surface import border, surface_scores

EMPTY = np.zeros((30, 40), bool)


def draw(seed: int, shape: tuple[int, int] = (30, 40)) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of blobs that partly overlap, some of them cut by the edge of the image."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    masks = []
    for _ in range(2):
        centers = rng.uniform((0, 0), shape, (3, 2))
        masks.append(np.any([(rows - r) ** 2 + (columns - c) ** 2 < rng.uniform(4, 60) for r, c in centers], axis=0))
    return masks[0], masks[1]


def naive_border(mask: np.ndarray) -> list[tuple[int, int]]:
    padded = np.pad(mask, 1)
    sides = ((0, 1), (2, 1), (1, 0), (1, 2))
    height, width = mask.shape
    places = [(r, c) for r in range(height) for c in range(width) if mask[r, c]]
    return [(r, c) for r, c in places if not all(padded[r + dr, c + dc] for dr, dc in sides)]


def naive(prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, float], tolerance: float) -> list[float]:
    borders = naive_border(prediction), naive_border(truth)
    directed = [
        [min(math.hypot((r - y) * spacing[0], (c - x) * spacing[1]) for y, x in other) for r, c in one]
        for one, other in (borders, borders[::-1])
    ]
    within = sum(distance <= tolerance for distances in directed for distance in distances)
    return [max(np.percentile(distances, 95) for distances in directed), within / sum(map(len, directed))]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.7)], ids=["pixels", "mm"])
@pytest.mark.parametrize("seed", range(4))
def test_all_pairs_of_border_pixels(seed: int, spacing: tuple[float, float]) -> None:
    pair = draw(seed)
    found = surface_scores(*pair, spacing, 2.0)
    assert list(found) == ["hd95", "surface_dice"]
    assert list(found.values()) == pytest.approx(naive(*pair, spacing, 2.0), abs=1e-9)


def test_greater_of_both_directions() -> None:
    small, large = EMPTY.copy(), EMPTY.copy()
    small[10, 10] = large[10, 10] = True
    large[10, 20:35] = True
    there, back = (surface_scores(*pair, (1, 1), 0)["hd95"] for pair in ((small, large), (large, small)))
    assert there == back > 20  # the small one's only pixel is 0 away from the large one


def test_two_empty_masks_agree_and_one_gives_the_diagonal() -> None:
    assert surface_scores(EMPTY, EMPTY, (1, 1), 2.0) == {"hd95": 0.0, "surface_dice": 1.0}
    mask = draw(0)[0]
    for pair in ((EMPTY, mask), (mask, EMPTY)):
        assert surface_scores(*pair, (1, 1), 2.0) == {"hd95": 50.0, "surface_dice": 0.0}
        assert surface_scores(*pair, (0.1, 0.1), 2.0) == {"hd95": pytest.approx(5.0), "surface_dice": 0.0}


def test_shift_within_the_tolerance() -> None:
    mask = EMPTY.copy()
    mask[8:20, 8:30] = True
    shifted = np.roll(mask, 2, axis=1)
    assert surface_scores(shifted, mask, (1, 1), 2.0)["surface_dice"] == 1.0
    assert surface_scores(shifted, mask, (1, 1), 1.9)["surface_dice"] < 1.0
    assert surface_scores(shifted, mask, (1, 1.5), 2.0)["surface_dice"] < 1.0
    assert surface_scores(mask, mask, (1, 1), 0.0) == {"hd95": 0.0, "surface_dice": 1.0}
    cube = np.zeros((12, 12, 12), bool)
    cube[2:8, 2:8, 2:8] = True
    spacing = np.float32([1.0000001, 1.0000002, 1.0])  # what an affine that is rotated by a few degrees gives
    assert surface_scores(np.roll(cube, 2, axis=0), cube, spacing, 2.0)["surface_dice"] == 1.0
    assert len(border(np.ones((5, 7), bool))) == 2 * (5 + 7) - 4 and len(border(EMPTY)) == 0  # at the edge


def test_ignored_pixels_are_background_in_both() -> None:
    prediction, truth = (mask.astype(int) for mask in draw(1))
    ignored = np.random.default_rng(0).random(truth.shape) < 0.2
    expected = naive((prediction * ~ignored).astype(bool), (truth * ~ignored).astype(bool), (1, 1), 1.0)
    found = surface_scores(prediction, np.where(ignored, IGNORE, truth), (1, 1), 1.0)
    assert list(found.values()) == pytest.approx(expected)
