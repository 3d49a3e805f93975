"""One unit for all images of a split."""

import logging
from pathlib import Path

import pytest
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.spacing import common_spacing


class Measured(Folder):
    """Images whose names begin with m have pixels of 0.5 x 0.7 mm."""

    def spacing(self, name: str) -> tuple[float, float] | None:
        return (0.5, 0.7) if name.startswith("m") else None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "images" / "m1.png")
    return tmp_path


def test_a_folder_of_images_has_no_spacing(root: Path) -> None:
    assert Folder(root).spacing("m1") is None
    assert common_spacing(Folder(root), ["m1"]) == ({"m1": (1.0, 1.0)}, "px")


def test_images_that_all_have_one_are_measured_in_mm(root: Path) -> None:
    assert common_spacing(Measured(root), ["m1", "m2"]) == ({"m1": (0.5, 0.7), "m2": (0.5, 0.7)}, "mm")


def test_one_image_without_makes_pixels_of_all(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert common_spacing(Measured(root), ["m1", "x"]) == ({"m1": (1.0, 1.0), "x": (1.0, 1.0)}, "px")
    assert "1 images have no pixel spacing, so distances are in pixels: x" in caplog.text
