"""Kvasir-SEG: the published splits, and the real files where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.images.kvasir import Kvasir
from fovea.data.splits import published


@pytest.fixture(scope="module")
def kvasir(real_data: Path) -> Kvasir:
    return Kvasir(real_data / "Kvasir-SEG")


def test_val_is_drawn_from_the_training_list(tmp_path: Path) -> None:
    splits = Kvasir(tmp_path).splits()
    assert [len(ids) for ids in splits.values()] == [810, 90, 100]
    assert sorted(splits["train"] + splits["val"]) == sorted(published("kvasir_train"))


def test_published_training_list_is_whole(tmp_path: Path) -> None:
    splits = Kvasir(tmp_path, protocol="published").splits()
    assert splits == {"train": published("kvasir_train"), "val": [], "test": published("kvasir_test")}


def test_all_training_images_are_present(kvasir: Kvasir) -> None:
    splits = kvasir.splits()
    kvasir.check(splits["train"] + splits["val"], masks=True)
    assert len(kvasir.ids) >= 900


def test_only_splits_that_are_read_need_images(kvasir: Kvasir) -> None:
    if len(kvasir.ids) > 900:
        pytest.skip("the test images are on disk")
    with pytest.raises(ValueError, match="100 images are missing"):
        kvasir.check(kvasir.splits()["test"], masks=False)


def test_real_masks_are_binary_and_fit_their_images(kvasir: Kvasir) -> None:
    for name in kvasir.ids[::300]:
        mask = kvasir.mask(name)
        assert mask.shape == kvasir.image(name).shape[:2] == kvasir.size(name)
        assert np.unique(mask).tolist() == [0, 1]
