"""Gaze and maps, measured with masks and without."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.fixations import Fixations
from fovea.metrics.thresholds import GRID
from fovea.prepare.quality import centre_offset, column, curve, drawn, fixations_inside, means, measure, write_quality

MASK = np.array([[0, 1], [0, 2]], np.uint8)
HEAT = np.array([[0.4, 0.6], [0.0, 0.4]])
REFINED = np.array([[0.0, 0.5], [0.0, 0.9]])
GAZE = Fixations(np.array([0.25, 0.75]), np.array([0.25, 0.75]), np.array([100.0, 400.0]), dropped=3, outside=2)


def test_dice_of_both_maps_at_every_level() -> None:
    row = measure(GAZE, HEAT, REFINED, (0.5, 0.3), MASK)
    expected = {"heatmap@0.5": 2 / 3, "heatmap@0.3": 4 / 5, "map@0.5": 1.0, "map@0.3": 1.0}
    assert {key: row[key] for key in expected} == pytest.approx(expected)


def test_figures_of_gaze_and_maps_alone() -> None:
    row = measure(GAZE, HEAT, REFINED, (0.5,))
    assert row == pytest.approx(
        {
            "fixations": 2,
            "seconds": 0.5,
            "off_image": 2 / 5,
            "coverage": 0.5,
            "dispersion": np.sqrt(2) / 4,
            "agreement": 2 / 3,
        }
    )


def test_a_mask_adds_keys_and_changes_none() -> None:
    bare, full = (measure(GAZE, HEAT, REFINED, (0.5,), mask) for mask in (None, MASK))
    assert bare.items() <= full.items()
    assert (full["inside"], full["peak_inside"], full["offset"]) == pytest.approx((0.5, 1.0, 0.25))


def test_a_peak_of_many_pixels_is_shared() -> None:
    assert measure(GAZE, HEAT, np.ones((2, 2)), (0.5,), MASK)["peak_inside"] == 0.5


@pytest.mark.parametrize("mask", [None, MASK])
def test_maps_of_different_size_are_refused(mask: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match=r"heatmap \(2, 3\), map \(2, 2\) and mask .* differ"):
        measure(GAZE, np.zeros((2, 3)), REFINED, (0.5,), mask)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"and mask \(1, 2\) differ"):
        measure(GAZE, HEAT, REFINED, (0.5,), MASK[:1])


def test_share_of_fixations_inside_counts_the_edges() -> None:
    assert fixations_inside(np.array([1.0, 0.5, 0.49, 0.0]), np.array([1.0, 0.0, 0.0, 1.0]), MASK) == 0.5


@pytest.mark.parametrize(("x", "y", "offset"), [(0.75, 0.5, 0.0), (0.0, 0.5, 0.75), (0.45, 0.1, 0.5)])
def test_offset_is_a_distance_in_fractions_of_the_sides(x: float, y: float, offset: float) -> None:
    assert centre_offset(np.array([x]), np.array([y]), MASK) == pytest.approx(offset)


def test_an_empty_mask_has_its_centre_in_the_middle() -> None:
    assert centre_offset(np.array([0.5]), np.array([0.0]), np.zeros((3, 8))) == pytest.approx(0.5)


def test_as_many_masks_are_drawn_as_asked_for_and_always_the_same() -> None:
    ids = [f"image{number}" for number in range(40)]
    chosen = drawn(ids, 10)
    assert len(set(chosen)) == 10 and chosen == sorted(chosen) == drawn(reversed(ids), 10)
    assert chosen not in (ids[:10], ids[-10:])


def test_one_image_more_changes_the_draw_by_one_at_most() -> None:
    ids = [f"image{number}" for number in range(40)]
    assert len({*drawn(ids, 10)} & {*drawn([*ids, "another"], 10)}) >= 9


@pytest.mark.parametrize("count", [None, 3, 9])
def test_all_masks_are_opened_where_no_more_are_there(count: int | None) -> None:
    assert drawn("cab", count) == ["a", "b", "c"]


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "all"])
def test_a_count_without_sense_is_refused(count: object) -> None:
    with pytest.raises(ValueError, match=r"quality_masks: .* set a number of images, or null"):
        drawn("abc", count)  # type: ignore[arg-type]


def test_means_are_over_the_images_that_have_a_figure() -> None:
    assert means({"a": {"x": 1.0}, "b": {"x": 0.0, "y": 0.5}}) == {"x": 0.5, "y": 0.5}


def test_a_column_is_in_the_order_of_the_ids() -> None:
    assert column({"b": {"x": 1.0}, "a": {"x": 0.0}, "c": {}}, "x").tolist() == [0.0, 1.0]


def test_the_curve_is_of_the_images_with_a_mask() -> None:
    rows = {"a": measure(GAZE, HEAT, REFINED, (0.5,)), "b": measure(GAZE, HEAT, REFINED, (0.5,), MASK)}
    found = curve(rows, "map")
    assert found is not None and found.dice.shape == (1, len(GRID))
    assert found.dice[0, GRID.index(0.5)] == 1.0 and found.dice[0, GRID.index(0.52)] == pytest.approx(2 / 3)
    assert curve({"a": rows["a"]}, "map") is None


def test_the_table_is_sorted_by_id_and_leaves_unknown_cells_empty(tmp_path: Path) -> None:
    write_quality(tmp_path / "quality.csv", {"b": {"x": 1.0, "y": 1 / 3}, "a": {"x": 0.0}})
    assert (tmp_path / "quality.csv").read_text() == "id,x,y\na,0.000000,\nb,1.000000,0.333333\n"
