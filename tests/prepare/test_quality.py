"""Quality of gaze and maps, with masks and without."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.fixations import Fixations
from fovea.metrics.thresholds import GRID
from fovea.prepare.quality import (
    center_offset,
    curve,
    drawn,
    fixations_inside,
    means,
    measure,
    validations,
    write_quality,
)
from fovea.runtime.files import sha256, write_json

MASK = np.array([[0, 1], [0, 2]], np.uint8)
PARTIAL = np.array([[0, 1], [-1, 2]], np.int16)  # one pixel is not labeled
HEAT = np.array([[0.4, 0.6], [0.0, 0.4]])
REFINED = np.array([[0.0, 0.5], [0.0, 0.9]])
GAZE = Fixations(np.array([0.25, 0.75]), np.array([0.25, 0.75]), np.array([100.0, 400.0]), dropped=3, outside=2)


def test_dice_at_every_level() -> None:
    row = measure(GAZE, HEAT, REFINED, (0.5, 0.3), MASK)
    expected = {"heatmap@0.5": 2 / 3, "heatmap@0.3": 4 / 5, "map@0.5": 1.0, "map@0.3": 1.0}
    assert {key: row[key] for key in expected} == pytest.approx(expected)


def test_figures_without_mask() -> None:
    row = measure(GAZE, HEAT, REFINED, (0.5,))
    gaze = {"fixations": 2, "seconds": 0.5, "off_image": 2 / 5, "dispersion": np.sqrt(2) / 4}
    assert row == pytest.approx(gaze | {"coverage": 0.5, "agreement": 2 / 3})
    part = measure(GAZE.first(0.2), HEAT, REFINED, (0.5,))  # a dose does not change the share of the recorded rows
    assert (part["fixations"], part["off_image"]) == (1, 2 / 5)


def test_mask_only_adds_keys() -> None:
    bare, full = (measure(GAZE, HEAT, REFINED, (0.5,), mask) for mask in (None, MASK))
    assert bare.items() <= full.items()
    assert (full["inside"], full["peak_inside"], full["offset"]) == pytest.approx((0.5, 1.0, 0.25))


@pytest.mark.parametrize(("heat", "mask"), [(np.zeros((2, 3)), None), (np.zeros((2, 3)), MASK), (HEAT, MASK[:1])])
def test_sizes_must_agree(heat: np.ndarray, mask: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match=r"the heatmap is .*, the map \(2, 2\)"):
        measure(GAZE, heat, REFINED, (0.5,), mask)


def test_fixations_inside_at_edges() -> None:
    x, y = np.array([1.0, 0.5, 0.49, 0.0]), np.array([1.0, 0.0, 0.0, 1.0])
    assert (fixations_inside(x, y, MASK), fixations_inside(x, y, PARTIAL)) == (0.5, 2 / 3)
    unknown = fixations_inside(np.array([0.25]), np.array([0.75]), PARTIAL)
    assert np.isnan(unknown) and means({"a": {"inside": unknown}, "b": {"inside": 0.5}}) == {"inside": 0.5}


@pytest.mark.parametrize(("x", "y", "offset"), [(0.75, 0.5, 0.0), (0.0, 0.5, 0.75), (0.45, 0.1, 0.5)])
def test_center_offset(x: float, y: float, offset: float) -> None:
    assert center_offset(np.array([x]), np.array([y]), MASK) == pytest.approx(offset)
    assert center_offset(np.array([x]), np.array([y]), PARTIAL) == pytest.approx(offset)


def test_draw_is_fixed() -> None:
    ids = [f"image{number}" for number in range(40)]
    chosen = drawn(ids, 10)
    assert len(set(chosen)) == 10 and chosen == sorted(chosen) == drawn(reversed(ids), 10)
    assert chosen not in (ids[:10], ids[-10:])
    assert len({*chosen} & {*drawn([*ids, "another"], 10)}) >= 9


@pytest.mark.parametrize("count", [None, 3, 9])
def test_draw_of_all_masks(count: int | None) -> None:
    assert drawn("cab", count) == ["a", "b", "c"]


def test_curve_of_images_with_mask() -> None:
    rows = {"a": measure(GAZE, HEAT, REFINED, (0.5,)), "b": measure(GAZE, HEAT, REFINED, (0.5,), MASK)}
    of_maps = curve(rows, "map")
    assert of_maps is not None and of_maps.dice.shape == (1, len(GRID))
    assert of_maps.dice[0, GRID.index(0.5)] == 1.0 and of_maps.dice[0, GRID.index(0.52)] == pytest.approx(2 / 3)
    assert curve({"a": rows["a"]}, "map") is None


def test_validations_of_an_imported_table(tmp_path: Path) -> None:
    (tmp_path / "gaze.csv").write_text("a table")
    found = {"eye": "LEFT", "average": 0.42, "maximum": 0.8, "quality": "GOOD"}
    recordings = [{"file": "s1.asc", "validation": [found]}, {"file": "s2.tsv", "validation": [{"average": 1.5}]}]
    content = {"sha256": sha256(tmp_path / "gaze.csv"), "recordings": recordings}
    write_json(tmp_path / "gaze.import.json", content)
    expected = ["s1.asc LEFT: average 0.42° maximum 0.8° GOOD", "s2.tsv: average 1.5°"]
    assert validations(tmp_path / "gaze.csv") == expected
    (tmp_path / "gaze.csv").write_text("another table")
    assert validations(tmp_path / "gaze.csv") == []


def test_table_is_sorted_and_has_empty_cells(tmp_path: Path) -> None:
    write_quality(tmp_path / "quality.csv", {"b": {"x": 1.0, "y": 1 / 3}, "a": {"x": 0.0}})
    assert (tmp_path / "quality.csv").read_text() == "id,x,y\na,0.000000,\nb,1.000000,0.333333\n"
