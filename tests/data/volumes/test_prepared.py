"""Volumes resampled, scaled, padded about their centers, and cached."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fovea.data.cache import Files, Memory, fingerprint
from fovea.data.volumes.prepared import Array, Prepared, centered, common_shape, resampled, uncentered
from fovea.data.volumes.targets import Mask, Target

from .conftest import pairs

WINDOW = {"_target_": "monai.transforms.ScaleIntensityRange", "a_min": 100, "b_min": 0.0, "b_max": 1.0, "clip": True}
INTENSITY = {
    "ct": WINDOW | {"a_max": 700},
    "mri": {"_target_": "monai.transforms.NormalizeIntensity", "nonzero": True, "channel_wise": True},
}
CT = Array("image", "ct")


def prepared(
    root: Path,
    targets: Sequence[type[Target]] = (Mask,),
    spacing: tuple | None = (2.0, 2.0, 2.0),
    intensities: Any = INTENSITY,
    **options: Any,
) -> Prepared:
    dataset = pairs(root, **options)
    return Prepared(dataset, ["aaa", "bbb"], [target(dataset) for target in targets], spacing, intensities)


def test_all_volumes_have_one_spacing_and_one_scale(root: Path) -> None:
    made = prepared(root)
    assert [str(kind) for kind in made.kinds] == ["image-ct", "image-mri", "mask-ct", "mask-mri"]
    ct, mri, mask = (made.read(made.kinds[place], 0) for place in (0, 1, 3))
    assert ct.shape == (20, 18, 20) and mri.shape == mask.shape == (20, 16, 21)
    assert ct.dtype == mri.dtype == np.float32 and mask.dtype == np.int16
    assert ct.min() == 0 and 0.9 < ct.max() <= 1 and abs(mri.mean()) < 1e-5 and mri.std() == pytest.approx(1, abs=1e-4)
    assert {*np.unique(mask)} == {0, 1, 2}


@pytest.mark.parametrize("spacing", [None, (None, None, 3.0), (1.0, 5.0, 7.0)])
def test_the_layout_comes_from_headers(root: Path, spacing: tuple | None) -> None:
    made = prepared(root, spacing=spacing)
    for kind in made.kinds:
        shapes, dtype = made.layout(kind)
        arrays = [made.read(kind, index) for index in range(2)]
        assert [array.shape for array in arrays] == shapes and {array.dtype for array in arrays} == {dtype}
    with pytest.raises(ValueError, match=r"aaa_ct\.nii\.gz: .* become \(40000, 36000, 40000\) at data\.spacing="):
        prepared(root, spacing=(0.001, 0.001, 0.001)).layout(CT)


def test_resampling_keeps_the_extent() -> None:
    ramp = np.arange(12, dtype=np.float32)[:, None, None].repeat(4, 1).repeat(4, 2)
    finer = resampled(ramp, (24, 4, 4))
    np.testing.assert_allclose(finer[2:-2, 0, 0], np.arange(24)[2:-2] / 2 - 0.25, atol=1e-5)
    labels = np.where(ramp > 5, 3, -1).astype(np.int16)
    coarser = resampled(labels, (7, 4, 3), nearest=True)
    assert coarser.dtype == np.int16 and {*np.unique(coarser)} == {-1, 3}
    assert np.array_equal(resampled(resampled(labels, (24, 4, 8), nearest=True), labels.shape, nearest=True), labels)


@pytest.mark.parametrize("cache", [partial(Memory, limit=1.0), "disk"])
def test_volumes_of_any_shape_are_cached(root: Path, cache: Any, tmp_path: Path) -> None:
    made = prepared(root, spacing=None)
    cached = Files(made, str(tmp_path / "cache"), 2) if cache == "disk" else cache(made)
    for kind in [*made.kinds] * 2:
        for index in range(2):
            np.testing.assert_array_equal(cached.read(kind, index), made.read(kind, index))


def test_the_fingerprint_has_everything_that_affects_a_volume(root: Path) -> None:
    usual = fingerprint(prepared(root), CT)
    other = INTENSITY | {"ct": WINDOW | {"a_max": 600}}
    two = INTENSITY | {"ct": {"_target_": "monai.transforms.Compose", "transforms": [*INTENSITY.values()]}}
    assert usual == fingerprint(prepared(root, ()), CT)
    assert fingerprint(prepared(root, intensities=two), CT) == fingerprint(prepared(root, intensities=two), CT)
    assert usual != fingerprint(prepared(root, spacing=(2.0, 2.0, 1.0)), CT)
    assert usual != fingerprint(prepared(root, intensities=other), CT)
    mri, mask = Array("image", "mri"), Array("mask", "ct", nearest=True)
    assert fingerprint(prepared(root), mri) == fingerprint(prepared(root, intensities=other), mri)
    assert fingerprint(prepared(root), mask) != fingerprint(prepared(root, ignore_label=9), mask)
    (root / "images" / "bbb_ct.nii.gz").write_bytes((root / "images" / "aaa_ct.nii.gz").read_bytes())
    assert usual != fingerprint(prepared(root), CT)


def test_padding_about_the_center_and_back() -> None:
    volume = torch.rand(2, 1, 5, 6, 7)
    shape = common_shape([(5, 6, 7), (4, 9, 1)], (6, 2, 2))
    assert shape == (6, 9, 7)
    padded = centered(volume, shape)
    assert padded.shape == (2, 1, 6, 9, 7) and padded.sum() == pytest.approx(float(volume.sum()), rel=1e-6)
    assert torch.equal(uncentered(padded, (5, 6, 7)), volume)
    assert padded[0, 0, :, 0].abs().sum() == 0 and padded[0, 0, 0, 1:7].abs().sum() > 0
