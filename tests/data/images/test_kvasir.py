"""Kvasir-SEG: the published splits, and the real files where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.images.kvasir import Kvasir
from fovea.data.splits import published


def test_val_is_drawn_from_the_published_training_list(tmp_path: Path) -> None:
    splits = Kvasir(tmp_path).splits()
    assert [len(ids) for ids in splits.values()] == [810, 90, 100]
    assert sorted(splits["train"] + splits["val"]) == sorted(published("kvasir_train"))
    whole = Kvasir(tmp_path, protocol="published").splits()
    assert whole == {"train": published("kvasir_train"), "val": [], "test": published("kvasir_test")}


def test_real_files(real_data: Path) -> None:
    kvasir = Kvasir(real_data / "Kvasir-SEG")
    splits = kvasir.splits()
    kvasir.check(splits["train"] + splits["val"], masks=True)
    if len(kvasir.ids) == 900:  # only splits that are read need images
        with pytest.raises(ValueError, match="100 images are missing"):
            kvasir.check(splits["test"], masks=False)
    for name in kvasir.ids[::300]:
        mask = kvasir.mask(name)
        assert mask.shape == kvasir.image(name).shape[:2] == kvasir.size(name)
        assert np.unique(mask).tolist() == [0, 1]
