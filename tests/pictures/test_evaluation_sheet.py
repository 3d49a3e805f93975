"""Which images are shown, and which columns."""

import numpy as np

from fovea.data.fixations import Fixations
from fovea.pictures.evaluation_sheet import ranked, tiles

IMAGE = np.full((20, 30, 3), 100, np.uint8)
MASK = np.zeros((20, 30), bool)
ONE = {"prediction": MASK}
TWO = {"prediction": MASK, "level_1": MASK, "level_2": ~MASK}


def test_the_ranking_holds_the_worst_and_the_best() -> None:
    dice = {f"i{number}": number / 10 for number in (3, 1, 0, 4, 2)}
    assert ranked(dice, 3) == ["i0", "i2", "i4"]
    assert ranked(dice, 9) == ["i0", "i1", "i2", "i3", "i4"]


def test_a_row_has_a_column_for_what_there_is() -> None:
    assert list(tiles(IMAGE, None, None, ONE, MASK, "truth")) == ["image", "prediction", "truth"]
    seen = Fixations(np.array([0.5]), np.array([0.5]), np.array([200.0]))
    whole = tiles(IMAGE, seen, MASK.astype(np.float32), TWO, MASK, "pseudo-mask")
    assert list(whole) == ["image", "fixations", "map", "level 1", "level 2", "prediction", "pseudo-mask"]
    assert all(tile.shape == (20, 30, 3) for tile in whole.values())


def test_one_level_is_the_prediction_and_gets_no_column() -> None:
    assert "level 1" not in tiles(IMAGE, None, None, ONE | {"level_1": MASK}, MASK, "truth")


def test_a_grey_image_is_shown_in_grey() -> None:
    row = tiles(IMAGE[:, :, :1], None, None, ONE, MASK, "truth")
    np.testing.assert_array_equal(row["image"], IMAGE)
