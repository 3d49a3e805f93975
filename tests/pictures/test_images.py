"""The pictures of one image: which there are, and in which colors."""

import numpy as np

from fovea.pictures.images import image_panels
from fovea.pictures.overlay import COLORS, IGNORED

IMAGE = np.full((20, 30, 3), 100, np.uint8)
MASK = np.zeros((20, 30), int)
ONE = {"prediction": MASK}
TWO = {"prediction": MASK, "level_1": MASK, "level_2": 1 - MASK}


def test_there_is_a_panel_for_everything_known() -> None:
    assert list(image_panels(IMAGE, ONE, MASK)) == ["image", "prediction", "truth"]
    gaze = (np.array([0.5]), np.array([0.5]), np.array([200.0]))
    whole = image_panels(IMAGE, TWO, MASK, "pseudo-mask", 1, gaze, MASK.astype(np.float32))
    assert list(whole) == ["image", "fixations", "map", "level 1", "level 2", "prediction", "pseudo-mask"]
    assert all(panel.shape == (20, 30, 3) for panel in whole.values())


def test_a_single_level_has_no_panel() -> None:
    assert "level 1" not in image_panels(IMAGE, ONE | {"level_1": MASK}, MASK)


def test_a_gray_image_is_shown_in_gray() -> None:
    np.testing.assert_array_equal(image_panels(IMAGE[:, :, :1], ONE, MASK)["image"], IMAGE)


def test_ignored_pixels_are_gray() -> None:
    target = MASK.copy()
    target[:10] = -1
    panels = image_panels(IMAGE, {"prediction": MASK}, target)
    assert (panels["truth"][5, 5] == IGNORED).all() and not panels["truth"][15, 5].any()
    np.testing.assert_allclose(panels["prediction"][5, 5], 0.2 * 100 + 0.8 * 128, atol=1)
    assert (panels["prediction"][15, 5] == 100).all()


def test_several_classes_have_their_colors() -> None:
    target = MASK.copy()
    target[2:18, 2:12], target[2:18, 15:28] = 1, 2
    panels = image_panels(IMAGE, {"prediction": target}, np.where(target == 1, target, -1), classes=3)
    assert (panels["truth"][10, 6] == COLORS[0]).all() and (panels["truth"][10, 20] == IGNORED).all()
    np.testing.assert_allclose(panels["prediction"][10, 6], 0.65 * 100 + 0.35 * np.array(COLORS[0]), atol=1)
    assert (image_panels(IMAGE, ONE, 2 * target, classes=1)["truth"][10, 20] == 255).all()  # one class of any value
