"""Sheets of pictures."""

import numpy as np
import pytest

from fovea.pictures.contact_sheet import contact_sheet, rows_of_sheet

RED = np.full((50, 50, 3), (255, 0, 0), np.uint8)


def count(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == np.array(colour)).all(axis=2).sum())


def test_every_picture_fills_its_tile() -> None:
    sheet = contact_sheet([[RED] * 3] * 2, ["a", "b", "c"], ["one", "two"], tile=40)
    assert sheet.dtype == np.uint8
    assert count(sheet, (255, 0, 0)) == 6 * 40 * 40


@pytest.mark.parametrize("shape", [(20, 40), (40, 20)])
def test_aspect_ratio_is_kept(shape: tuple[int, int]) -> None:
    sheet = contact_sheet([[np.full((*shape, 3), (255, 0, 0), np.uint8)]], [""], [""], tile=40)
    assert count(sheet, (255, 0, 0)) == 40 * 20


def test_grey_pictures_are_taken() -> None:
    assert count(contact_sheet([[np.full((9, 9), 77, np.uint8)]], [""], [""], tile=40), (77, 77, 77)) == 40 * 40


def test_missing_picture_leaves_a_light_tile() -> None:
    sheet = contact_sheet([[None, RED]], ["a", "b"], ["row"], tile=40)
    assert (sheet[-42:-2, -84:-44] == 244).all()


def test_titles_and_labels_are_printed() -> None:
    plain, printed = (contact_sheet([[None]], [text], [text], tile=80) for text in ("", "Dice 0.83"))
    assert (plain > 200).all()
    assert (printed < 60).any()


def test_longer_labels_get_room() -> None:
    widths = [
        contact_sheet([[RED]], ["a"], [label]).shape[1] for label in ("x", "cju0qkwl35piu0993l0dewei2\nDice 0.83")
    ]
    assert widths[1] - widths[0] > 100


def test_sheet_without_rows_has_its_titles() -> None:
    assert contact_sheet([], ["image", "truth"], []).shape[1] > 320


@pytest.mark.parametrize(("titles", "labels"), [(["a"], ["one"]), (["a", "b"], [])])
def test_rows_must_fit_titles_and_labels(titles: list[str], labels: list[str]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        contact_sheet([[RED, RED]], titles, labels)


@pytest.mark.parametrize("tile", [40, 160])
def test_a_row_of_a_sheet_is_the_sheet_of_that_row(tile: int) -> None:
    blue = np.full((50, 50, 3), (0, 0, 255), np.uint8)
    sheet = contact_sheet([[RED, None], [blue, RED]], ["a", "b"], ["row"] * 2, tile=tile)
    rows = rows_of_sheet(sheet, tile)
    assert [
        (row == contact_sheet([[one, other]], ["a", "b"], ["row"], tile=tile)).all()
        for row, one, other in ((rows[0], RED, None), (rows[1], blue, RED))
    ] == [True, True]
    assert len(rows) == 2 and rows_of_sheet(sheet[:-1], tile) == []
