"""Sheets of pictures."""

import numpy as np
import pytest

from fovea.pictures.contact_sheet import SheetRow, contact_sheet, ranked, with_legend
from fovea.pictures.overlay import COLORS

RED = np.full((50, 50, 3), (255, 0, 0), np.uint8)


def row(*pictures: np.ndarray, label: str = "") -> SheetRow:
    return SheetRow(label, dict(zip("abc", pictures, strict=False)))


def count(sheet: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((sheet == np.array(color)).all(axis=2).sum())


@pytest.mark.parametrize("shape", [(40, 40), (20, 40), (80, 40)])
def test_a_picture_keeps_its_aspect_ratio(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), (255, 0, 0), np.uint8)
    sheet = contact_sheet([row(picture, picture, picture)] * 2, tile=40)
    assert sheet.dtype == np.uint8
    assert count(sheet, (255, 0, 0)) == 6 * 40 * 40 * min(shape) / max(shape)


def test_native_pictures_keep_their_pixels() -> None:
    large = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    sheet = contact_sheet([row(large, RED), row(RED[:, :20])], tile=None)
    assert count(sheet, (255, 0, 0)) >= 50 * 50 + 50 * 20 and sheet.shape[1] < 2 * 90 + 30
    windows = np.lib.stride_tricks.sliding_window_view(sheet, large.shape)[..., 0, :, :, :]
    assert (windows[:, :, ::10, ::10] == large[::10, ::10]).all(axis=(2, 3, 4)).sum() == 1


@pytest.mark.parametrize(("tile", "pixel", "length"), [(None, 0.5, 20), (200, 0.25, 20), (400, 0.04, 25)])
def test_a_scale_bar_has_a_round_length(tile: int | None, pixel: float, length: int) -> None:
    gray = np.full((100, 100), 90, np.uint8)
    plain, sheet = (contact_sheet([SheetRow("", {"": gray}, (), each)], tile) for each in (None, pixel))
    rows, columns = np.nonzero((plain != sheet).any(axis=2))
    bar = columns[rows == rows.max()]  # below its text
    zoom = 1 if tile is None else tile / 100
    assert bar.max() - bar.min() == pytest.approx(length * zoom, abs=1)
    assert (columns.min() - 5) / zoom < 20 and rows.max() < sheet.shape[0] - 5


def test_titles_and_labels_are_printed() -> None:
    plain, printed = (contact_sheet([SheetRow(text, {text: RED})], tile=80) for text in ("", "Dice 0.83"))
    assert (plain[:, :, 0] > 200).all()
    assert (printed < 60).all(axis=2).any()
    wide = contact_sheet([row(RED, label="cju0qkwl35piu0993l0dewei2\nDice 0.83")])
    assert wide.shape[1] - contact_sheet([row(RED, label="x")]).shape[1] > 100
    sheet = contact_sheet([row(np.full((9, 9), 77, np.uint8)), row(RED, RED)], tile=40)
    assert count(sheet, (77, 77, 77)) == 40 * 40  # a gray picture, and an empty tile for a missing one
    assert (contact_sheet([row(RED), row(RED, RED)], tile=40)[-84:-44, -42:-2] == 244).all()


def test_the_classes_have_a_legend() -> None:
    names = ["a", "b", "a vessel with a long name"]
    sheet, plain = (contact_sheet([SheetRow("", {"a": RED}, classes)], tile=80) for classes in (names, ()))
    assert sheet.shape[0] > plain.shape[0] and sheet.shape[1] == plain.shape[1]
    rows = [np.argwhere((sheet == COLORS[number]).all(axis=2)).min(axis=0)[0] for number in range(3)]
    assert plain.shape[0] <= rows[0] == rows[1] < rows[2]


def test_the_ranking_has_the_worst_and_the_best() -> None:
    dice = {f"i{number}": number / 10 for number in (3, 1, 0, 4, 2)}
    assert ranked(dice, 3) == ["i0", "i2", "i4"]
    assert ranked(dice, 9) == ["i0", "i1", "i2", "i3", "i4"]
    assert ranked(dice, 0) == []


@pytest.mark.parametrize("shape", [(30, 40), (400, 300)])
def test_a_legend_is_below_the_picture(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), (255, 0, 0), np.uint8)
    found = with_legend(picture, ["disc", "a long name of a class", "cup"])
    np.testing.assert_array_equal(found[: shape[0], : shape[1]], picture)
    below = found[shape[0] :]
    assert all(count(below, color) > 50 for color in COLORS[:3]) and (below < 60).all(axis=2).any()
    assert with_legend(picture, ["polyp"]) is picture
