"""What a data set of your own returns is refused where it would be trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.source import folder_of
from fovea.data.images.targets import Mask


class Own(Folder):
    """A data set in a package of your own."""

    change: Any = staticmethod(lambda array: array)

    def __init__(self, root: Path) -> None:
        super().__init__(root, classes=3)

    def image(self, image_id: str) -> np.ndarray:
        return self.change(super().image(image_id))

    def mask(self, image_id: str) -> np.ndarray:
        return self.change(super().mask(image_id))


@pytest.fixture
def own(tmp_path: Path) -> Own:
    for folder, mode in (("images", "RGB"), ("masks", "L")):
        (tmp_path / folder).mkdir()
        Image.new(mode, (8, 6)).save(tmp_path / folder / "a.png")
    return Own(tmp_path)


@pytest.mark.parametrize(
    ("change", "image", "mask"),
    [
        (lambda array: array[:-1], "", r"got uint8 \[5, 8\]"),
        (lambda array: array / 255, "float64", "got float64"),
        (lambda array: array[..., 0], r"uint8 \[6, 8\]", r"got uint8 \[6\]"),
        (lambda array: array + 3, "", "from 3 to 3"),
        (lambda array: array.astype(np.int16) - 1, "int16", "from -1 to -1"),  # without data.ignore_label
        (lambda array: array + 2, "", ""),
    ],
)
def test_arrays_of_a_data_set_of_your_own_are_checked(own: Own, change: Any, image: str, mask: str) -> None:
    own.change = change
    if image:
        with pytest.raises(ValueError, match=rf"data.dataset: Own.image of a must be uint8 \[H, W, 3\], got.*{image}"):
            own.checked_image("a")
    if mask:
        must = r"must be integers from 0 to 2, \[6, 8\], the size of the image, "
        with pytest.raises(ValueError, match=rf"data.dataset: Own.mask of a {must}.*{mask}"):
            Mask(own).read("a")
    else:
        assert (own.checked_mask("a") == 2).all()


def test_a_constructor_that_does_not_take_the_keys_of_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_TRUSTED", __name__)
    dataset = {"_target_": f"{__name__}.Own"}
    with pytest.raises(ValueError, match=r"^data.dataset: .*Own does not take channels, fold; add \*\*options to its"):
        folder_of({"name": "own", "dataset": dataset, "channels": 3, "fold": None})
    folder = {"_target_": "fovea.data.images.folder.Folder", "val_fractio": 0.1}
    with pytest.raises(ValueError, match=r"^data.dataset.val_fractio is not .* did you mean data.dataset.val_fraction"):
        folder_of({"name": "own", "dataset": folder, "channels": 3})
