"""Slices of volumes: the axis across them, the samples, the prediction of whole volumes, and sparse labels."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity, RandFlipd, RandScaleIntensityd
from torch import nn

from fovea.data.predict_request import PredictRequest
from fovea.data.volumes.grid import slice_axis
from fovea.data.volumes.nifti import read_header
from fovea.data.volumes.predict import predict_volumes
from fovea.data.volumes.prepared import Native
from fovea.data.volumes.slices import Slices
from fovea.data.volumes.targets import Mask, sparse
from fovea.data.volumes.windows import SlidingWindow
from fovea.losses import IGNORE

from .conftest import SHAPES, SIDES, batch_of, change_masks, pairs, volumes, write
from .test_prepared import prepared

FLIP, SCALE = partial(RandFlipd, prob=0.5, spatial_axis=0), partial(RandScaleIntensityd, factors=0.5, prob=1.0)


def slices(root: Path, targets: Any = (Mask,), size: Any = (8, 8), seed: int = 0, **options: Any) -> Slices:
    made = prepared(root, targets, spacing=None, slices=True, **options)
    return Slices(made, made, size, 3, [FLIP], [SCALE], seed)


def turn(root: Path, case: str) -> None:
    """Store the MRI of a case with its slices across the first axis, from left to right."""
    for path in root.glob(f"*/{case}_mri.nii.gz"):
        image = nib.load(path)
        affine = np.diag([*np.array(SIDES["mri"])[[2, 0, 1]], 1.0])
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj).transpose(2, 0, 1), affine), path)


def test_the_axis_across_the_slices_comes_last(root: Path) -> None:
    before = pairs(root, slices=True)
    image, mask = before.volume("aaa", "mri"), Mask(before).read("aaa", "mri")
    turn(root, "aaa")
    after = pairs(root, slices=True)
    assert slice_axis(read_header(after.file("img", "aaa", "mri"))) == 0
    assert after.header("aaa", "mri").shape == SHAPES["mri"] and after.header("aaa", "mri").spacing == SIDES["mri"]
    assert np.array_equal(after.volume("aaa", "mri"), image) and np.array_equal(Mask(after).read("aaa", "mri"), mask)
    assert after.across(["aaa"]) == "feet-head in 1 volumes, left-right in 1 volumes"


def test_volumes_without_slices_are_refused_before_the_training(root: Path) -> None:
    write(root / "images" / "aaa_ct.nii.gz", np.zeros((8, 8, 8), np.float32), (1.0, 1.0, 1.0))
    write(root / "masks" / "aaa_ct.nii.gz", np.zeros((8, 8, 8), np.uint8), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"aaa_ct\.nii\.gz: no axis across slices: .*data\.slices=false"):
        volumes(root, slices=True).train(["mask"])


def test_samples_are_two_dimensional_and_a_pure_function_of_seed_pass_and_index(root: Path) -> None:
    batch = batch_of(slices(root))
    assert batch["image"]["ct"].shape == (3, 1, 8, 8) and batch["mask"]["mri"].shape == (3, 8, 8)
    assert {*slices(root, ())[0, 0]} == {"image", "index", "id"}
    made, other = slices(root), slices(root)
    other[3, 1]
    first = made[0, 0]["image"]["mri"]
    assert np.array_equal(first, other[0, 0]["image"]["mri"])
    assert not np.array_equal(first, made[1, 0]["image"]["mri"])
    assert not np.array_equal(first, slices(root, seed=1)[0, 0]["image"]["mri"])


def test_half_of_the_slices_are_centered_on_foreground(root: Path) -> None:
    def corner(mask: np.ndarray) -> None:
        mask[:] = 0
        mask[1, 1, 1], mask[2, 1, 1] = 1, 2

    change_masks(root, "aaa", corner)
    made = slices(root, size=(4, 4))
    masks = [made[turn, 0]["mask"] for turn in range(30)]
    contained = [any((mask[name][k] > 0).any() for name in mask) for mask in masks for k in range(3)]
    assert 0.4 < np.mean(contained) < 0.7


def test_sparse_labels_as_naive_loop(root: Path) -> None:
    labels = np.zeros((4, 4, 12), np.int16)
    labels[1:3, 1:3, 2:11] = 2
    header = read_header(root / "images" / "aaa_ct.nii.gz")
    expected = np.full_like(labels, IGNORE)
    for place in (3, 6, 9):  # the middles of three thirds of slices 2 to 10
        expected[..., place] = labels[..., place]
    assert np.array_equal(sparse(labels, header, 3), expected)
    assert (sparse(labels, header, 99) != IGNORE).any(axis=(0, 1)).sum() == 9
    made = slices(root, (partial(Mask, slices=1),))
    assert all((made[turn, 0]["mask"]["ct"] != IGNORE).all() for turn in range(5))  # only labeled slices are drawn
    training = volumes(root, slices=True, labeled_slices=1).train(["mask"])
    assert (batch_of(training.streams()["labeled"])["mask"]["ct"] != IGNORE).all()
    assert (training.val.samples[0]["target"] != IGNORE).all()  # scored on whole masks


def test_the_intensities_of_unlabeled_cases_may_stay(root: Path) -> None:
    """With `spatial` the values of a crop of an unlabeled case are those of the case, and labeled ones still change."""
    scale = {"_target_": "monai.transforms.RandScaleIntensityd", "factors": 0.5, "prob": 1.0}
    data = volumes(root, slices=True)
    plain = data.train(["mask", "unlabeled"]).streams()
    for chosen, changes in (("all", {"labeled", "unlabeled"}), ("spatial", {"labeled"})):
        changed = replace(data, augment={"intensity": {"scale": scale}}, augment_unlabeled=chosen)
        streams = changed.train(["mask", "unlabeled"]).streams()
        images = {name: [stream[0, 0]["image"]["ct"] for stream in (streams[name], plain[name])] for name in streams}
        assert {name for name, (own, before) in images.items() if not np.array_equal(own, before)} == changes


class Sign(nn.Module):
    """Predict two classes by the sign of the first modality."""

    def forward(self, image: dict[str, torch.Tensor], size: tuple[int, ...]) -> dict[str, torch.Tensor]:
        first = next(iter(image.values()))
        assert first.dim() == 4 and first.shape[2:] == tuple(size)
        return {"prediction": torch.cat([-first, first], dim=1).softmax(dim=1)}


def test_every_slice_of_a_volume_is_predicted() -> None:
    image = {"ct": torch.randn(1, 1, 20, 17, 9), "mri": torch.randn(1, 1, 12, 18, 4)}
    output = SlidingWindow(Sign(), (8, 8), 0.5, 3)(image, (20, 17, 9))["prediction"]
    torch.testing.assert_close(output, torch.cat([-image["ct"], image["ct"]], dim=1).softmax(dim=1), atol=1e-5, rtol=0)


def test_masks_of_new_volumes_lie_on_their_grid(root: Path, tmp_path: Path) -> None:
    turn(root, "aaa")
    source, out = root / "images" / "aaa_mri.nii.gz", tmp_path / "out"
    predictor, intensity = SlidingWindow(Sign(), (8, 8), 0.5, 3), {"mri": NormalizeIntensity()}
    data = {"classes": 2, "modalities": ["mri"], "slices": True}
    native = Native(predictor, True, None, intensity, torch.device("cpu"))
    predict_volumes(native, PredictRequest(source, out), data)
    volume, mask = (np.asarray(nib.load(path).dataobj) for path in (source, out / "masks" / "aaa_mri.nii.gz"))
    assert np.array_equal(mask, volume > volume.mean())
