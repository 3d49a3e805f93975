"""Volumes resampled and scaled, padded about their centres, and kept in a cache."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity, ScaleIntensityRange

from fovea.data.cache import Files, Memory, fingerprint
from fovea.data.volumes.pairs import Pairs
from fovea.data.volumes.prepared import Prepared, centred, common_shape, resampled, uncentred

INTENSITY = {
    "ct": ScaleIntensityRange(a_min=100, a_max=700, b_min=0.0, b_max=1.0, clip=True),
    "mri": NormalizeIntensity(nonzero=True, channel_wise=True),
}


def prepared(root: Path, masks: bool = True, spacing: tuple | None = (2.0, 2.0, 2.0), **changed) -> Prepared:
    dataset = Pairs(root, "dataset.json", ["ct", "mri"], 3)
    return Prepared(dataset, ["aaa", "bbb"], masks, spacing, INTENSITY | changed)


def test_all_volumes_have_one_spacing_and_one_scale(root: Path) -> None:
    made = prepared(root)
    assert made.kinds == ("image ct", "image mri", "mask ct", "mask mri")
    ct, mri, mask = (made.read(kind, 0) for kind in ("image ct", "image mri", "mask mri"))
    assert ct.shape == (20, 18, 20) and mri.shape == mask.shape == (20, 16, 21)
    assert ct.dtype == mri.dtype == np.float32 and mask.dtype == np.uint8
    assert ct.min() == 0 and 0.9 < ct.max() <= 1 and abs(mri.mean()) < 1e-5 and mri.std() == pytest.approx(1, abs=1e-4)
    assert set(np.unique(mask)) == {0, 1, 2}


@pytest.mark.parametrize("spacing", [None, (None, None, 3.0), (1.0, 5.0, 7.0)])
def test_the_layout_is_known_from_headers(root: Path, spacing: tuple | None) -> None:
    made = prepared(root, spacing=spacing)
    for kind in made.kinds:
        shapes, dtype = made.layout(kind)
        found = [made.read(kind, index) for index in range(2)]
        assert [each.shape for each in found] == shapes and {each.dtype for each in found} == {dtype}


def test_resampling_there_and_back_is_centred() -> None:
    ramp = np.arange(12, dtype=np.float32)[:, None, None].repeat(4, 1).repeat(4, 2)
    finer = resampled(ramp, (24, 4, 4))
    np.testing.assert_allclose(finer[2:-2, 0, 0], np.arange(24)[2:-2] / 2 - 0.25, atol=1e-5)
    labels = (ramp > 5).astype(np.uint8)
    assert np.array_equal(resampled(resampled(labels, (24, 4, 8)), labels.shape), labels)


@pytest.mark.parametrize("cache", [partial(Memory, limit=1.0), "disk", partial(Memory, limit=1e-9)])
def test_volumes_of_any_shape_are_kept_in_a_cache(root: Path, cache, tmp_path: Path) -> None:
    made = prepared(root, spacing=None)
    kept = Files(made, str(tmp_path / "cache"), 2) if cache == "disk" else cache(made)
    for _ in range(2):
        for kind in made.kinds:
            for index in range(2):
                np.testing.assert_array_equal(kept.read(kind, index), made.read(kind, index))


def test_whatever_decides_a_volume_is_in_the_name_of_its_file(root: Path) -> None:
    usual = fingerprint(prepared(root), "image ct")
    other = ScaleIntensityRange(a_min=100, a_max=600, b_min=0.0, b_max=1.0, clip=True)
    assert usual == fingerprint(prepared(root, masks=False), "image ct")
    assert usual != fingerprint(prepared(root, spacing=(2.0, 2.0, 1.0)), "image ct")
    assert usual != fingerprint(prepared(root, ct=other), "image ct")
    assert fingerprint(prepared(root), "image mri") == fingerprint(prepared(root, ct=other), "image mri")
    (root / "images" / "bbb_ct.nii.gz").write_bytes((root / "images" / "aaa_ct.nii.gz").read_bytes())
    assert usual != fingerprint(prepared(root), "image ct")


def test_padding_about_the_centre_and_back() -> None:
    volume = torch.rand(2, 1, 5, 6, 7)
    shape = common_shape([(5, 6, 7), (4, 9, 1)], (6, 2, 2))
    assert shape == (6, 9, 7)
    padded = centred(volume, shape)
    assert padded.shape == (2, 1, 6, 9, 7) and padded.sum() == pytest.approx(float(volume.sum()), rel=1e-6)
    assert torch.equal(uncentred(padded, (5, 6, 7)), volume)
    assert padded[0, 0, :, 0].abs().sum() == 0 and padded[0, 0, 0, 1:7].abs().sum() > 0
