"""The script beside an exported model reads images as fovea does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.files import read_image

pytest.importorskip("onnxruntime")
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 10), np.uint8)


@pytest.mark.parametrize("exif", ["ignore", "apply"])
@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
def test_turned_images_are_read_as_in_the_training(suffix: str, exif: str, tmp_path: Path) -> None:
    from fovea.engine.export.run import pixels_of

    for turn in range(1, 9):
        tags = Image.Exif()
        tags[0x0112] = turn
        path = tmp_path / f"{turn}.{suffix}"
        Image.fromarray(PIXELS).save(path, exif=tags)
        expected = read_image(path, 1, exif=exif)  # type: ignore[arg-type]
        np.testing.assert_array_equal(pixels_of(path, {"channels": 1, "exif": exif}), expected)


def test_what_fovea_refuses_is_refused(tmp_path: Path) -> None:
    from fovea.engine.export.run import pixels_of

    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "pages.tif", save_all=True, append_images=[image])
    image.save(tmp_path / "signed.tif", tiffinfo={339: 2})
    for name in ("pages", "signed"):
        with pytest.raises(ValueError, match="several pages, or values with a sign"):
            pixels_of(tmp_path / f"{name}.tif", {"channels": 1})
