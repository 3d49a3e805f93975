"""Places and screens that make no sense are refused before anything is read."""

import numpy as np
import pytest

from fovea.importers.geometry import Place, Screen, to_fractions


@pytest.mark.parametrize("value", [0, -5, float("nan"), "wide", True])
def test_a_screen_of_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"screen\.width: .* above 0"):
        Screen(width=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"left": 1}, {"left": 1, "top": 1, "width": 1}, {"width": 9, "fit": "contain"}])
def test_half_a_rectangle(given: dict) -> None:
    with pytest.raises(ValueError, match=r"give all of image\.left"):
        Place(**given)


def test_a_rule_that_is_not_offered() -> None:
    with pytest.raises(ValueError, match="fit: 'cover' is not offered; choose contain or native"):
        Place(fit="cover")


def test_a_tall_image_fills_the_height_and_a_wide_one_the_width() -> None:
    place, screen = Place(fit="contain"), Screen(200, 100)
    assert place.rectangle(screen, (50, 50)) == (50, 0, 100, 100)
    assert place.rectangle(screen, (10, 100)) == (0, 40, 200, 20)


def test_corners_of_the_rectangle_are_corners_of_the_image() -> None:
    x, y = to_fractions(np.array([360.0, 1560.0, 0.0]), np.array([140.0, 940.0, 140.0]), (360, 140, 1200, 800))
    np.testing.assert_allclose(x, [0, 1, -0.3])
    np.testing.assert_allclose(y, [0, 1, 0])
