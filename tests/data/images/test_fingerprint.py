"""Everything that affects a cached image or a map is in the fingerprint of its file or in the store."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.data.cache import fingerprint
from fovea.data.images.folder import Folder
from fovea.data.images.samples import Resized
from fovea.data.images.targets import Mask, PseudoMask
from fovea.data.store import Store

KINDS = ("image", "mask", "pseudo")


class Own(Folder):
    """A data set of a user."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = Store(tmp_path / "store")
    store.start()
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.ones((20, 30, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save(tmp_path / "masks" / "a.png")
    store.write("a", np.full((20, 30), 0.5, np.float32))
    store.finish({"parameters": {}, "images": {"a": {}}, "unlabeled": [], "failures": {}})
    (tmp_path / "train.txt").write_text("a")
    (tmp_path / "val.txt").write_text("")
    return tmp_path


def resized(root: Path, size: int = 16, dataset: type[Folder] = Folder, **options: Any) -> Resized:
    folder = dataset(root, **options)
    return Resized(folder, ["a"], [Mask(folder), PseudoMask(Store(root / "store"), {}, 0.5)], size)


def touch(root: Path, kind: str) -> None:
    os.utime(root / kind / "a.png", ns=(1, 1))


def rewrite_map(root: Path) -> None:
    store = Store(root / "store")
    manifest = dict(store.manifest)
    store.write("a", np.zeros((20, 30), np.float32))
    store.finish(manifest)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (partial(touch, kind="images"), {"image", "mask"}),  # the size of a mask is compared with its image
        (partial(touch, kind="masks"), {"mask"}),
        (rewrite_map, {"pseudo"}),
    ],
)
def test_a_changed_file_changes_it(root: Path, change: Callable[[Path], None], changed: set[str]) -> None:
    before = {kind: fingerprint(resized(root), kind) for kind in KINDS}
    change(root)
    assert {kind for kind in KINDS if before[kind] != fingerprint(resized(root), kind)} == changed


def test_size_class_and_how_images_are_read_change_it(root: Path) -> None:
    options: list[dict[str, Any]] = [{"size": 17}, {"channels": 1}, {"dataset": Own}, {"range": [0, 9]}]
    several = [resized(root), *(resized(root, **each) for each in options), resized(root, exif="apply")]
    assert len({fingerprint(source, "image") for source in several}) == 6
    assert fingerprint(several[0], "mask") != fingerprint(several[-1], "mask")
    assert fingerprint(resized(root), "image") == fingerprint(resized(root), "image")
