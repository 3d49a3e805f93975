"""Maps against masks."""

from pathlib import Path

import numpy as np
import pytest

from fovea.gaze.quality import against_masks, fixations_inside, means, write_quality
from fovea.runtime.errors import FoveaError

MASK = np.array([[0, 1], [0, 2]], np.uint8)


def test_dice_of_both_maps_at_every_threshold() -> None:
    heat = np.array([[0.4, 0.6], [0.0, 0.4]])
    refined = np.array([[0.0, 0.5], [0.0, 0.9]])
    scores = against_masks(heat, refined, MASK, (0.5, 0.3))
    expected = {"heatmap@0.5": 2 / 3, "heatmap@0.3": 4 / 5, "map@0.5": 1.0, "map@0.3": 1.0}
    assert scores == pytest.approx(expected)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(FoveaError, match=r"the mask is \(2, 2\) pixels, the map \(2, 3\)"):
        against_masks(np.zeros((2, 3)), np.zeros((2, 3)), MASK, (0.5,))


def test_share_of_fixations_inside_counts_the_edges() -> None:
    assert fixations_inside(np.array([1.0, 0.5, 0.49, 0.0]), np.array([1.0, 0.0, 0.0, 1.0]), MASK) == 0.5


def test_means_are_over_images() -> None:
    assert means({"a": {"x": 1.0, "y": 0.0}, "b": {"x": 0.0, "y": 0.5}}) == {"x": 0.5, "y": 0.25}


def test_the_table_is_sorted_by_id(tmp_path: Path) -> None:
    write_quality(tmp_path / "quality.csv", {"b": {"x": 1.0, "y": 1 / 3}, "a": {"x": 0.0, "y": 0.5}})
    assert (tmp_path / "quality.csv").read_text() == "id,x,y\na,0.000000,0.500000\nb,1.000000,0.333333\n"
