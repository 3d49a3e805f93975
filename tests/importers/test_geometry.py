"""Screens and places of images."""

import pytest

from fovea.importers.recordings.geometry import Place, Screen
from fovea.runtime.config import instantiate

GEOMETRY = "fovea.importers.recordings.geometry"


@pytest.mark.parametrize("value", [0, -5, float("nan"), "wide", True])
def test_refuses_a_screen_without_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"screen\.width must be"):
        instantiate({"_target_": f"{GEOMETRY}.Screen", "width": value}, "screen")


def test_refuses_an_unknown_rule() -> None:
    with pytest.raises(ValueError, match=r"image\.fit must be one of 'contain' or 'native', got 'cover'"):
        instantiate({"_target_": f"{GEOMETRY}.Place", "fit": "cover"}, "image")


@pytest.mark.parametrize("values", [{"left": 1}, {"left": 1, "top": 1, "width": 1}, {"width": 9, "fit": "contain"}])
def test_refuses_half_a_rectangle(values: dict) -> None:
    with pytest.raises(ValueError, match=r"set all of image\.left"):
        Place(**values)


def test_contain_fills_one_side_of_the_screen() -> None:
    place, screen = Place(fit="contain"), Screen(200, 100)
    assert place.fitted(screen, (50, 50)) == (50, 0, 100, 100)
    assert place.fitted(screen, (10, 100)) == (0, 40, 200, 20)
