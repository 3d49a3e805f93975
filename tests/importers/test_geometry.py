"""Screens and places of images."""

import pytest

from fovea.runtime.config import instantiate


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        *(("Screen", {"width": value}, r"^screen\.width must be") for value in (0, -5, float("nan"), "wide", True)),
        ("Place", {"fit": "cover"}, r"^image\.fit must be one of 'contain' or 'native', got 'cover'"),
        ("Place", {"left": 1}, r"set all of image\.left"),
        ("Place", {"left": 1, "top": 1, "width": 1}, r"set all of image\.left"),
        ("Place", {"width": 9, "fit": "contain"}, r"set all of image\.left"),
    ],
)
def test_refuses_what_is_no_rectangle(name: str, values: dict, message: str) -> None:
    target = f"fovea.importers.recordings.geometry.{name}"
    with pytest.raises(ValueError, match=message):
        instantiate({"_target_": target, **values}, "screen" if name == "Screen" else "image")
