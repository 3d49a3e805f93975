"""Crops of cases: at the same position in all modalities, and a pure function of seed, pass and index."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import RandFlipd, RandScaleIntensityd

from fovea.data.volumes.crops import Crops
from fovea.data.volumes.targets import Mask

from .conftest import batch_of, change_masks, volumes
from .test_prepared import prepared

SIZE = (8, 8, 6)
FLIP, SCALE = partial(RandFlipd, prob=0.5, spatial_axis=0), partial(RandScaleIntensityd, factors=0.5, prob=1.0)


def crops(
    root: Path,
    targets: Sequence = (Mask,),
    spatial: Sequence = (),
    intensity: Sequence = (),
    size: Sequence[int] = SIZE,
    seed: int = 0,
    **options: Any,
) -> Crops:
    made = prepared(root, targets, spacing=None, **options)
    return Crops(made, made, size, 3, spatial, intensity, seed)


def test_a_case_gives_several_crops_of_each_modality(root: Path) -> None:
    made = crops(root)
    sample = made[0, 1]
    assert sample["image"]["ct"].shape == sample["mask"]["mri"].shape == (3, 1, *SIZE) and sample["id"] == "bbb"
    batch = batch_of(made)
    assert batch["image"]["ct"].shape == (3, 1, *SIZE) and batch["image"]["ct"].dtype == torch.float32
    assert batch["mask"]["mri"].shape == (3, *SIZE) and batch["mask"]["mri"].dtype == torch.int64


def test_draws_are_a_pure_function_of_seed_pass_and_index(root: Path) -> None:
    def first(turn: int, seed: int = 0, before: int = 0) -> np.ndarray:
        made = crops(root, spatial=[FLIP], intensity=[SCALE], seed=seed)
        for _ in range(before):
            made[7, 0]
        return made[turn, 0]["image"]["ct"]

    assert np.array_equal(first(0), first(0, before=2))
    assert not np.array_equal(first(0), first(1)) and not np.array_equal(first(0), first(0, seed=1))


def corner(value: int, mask: np.ndarray) -> None:
    """Leave two labeled voxels in a corner, which a random crop rarely contains."""
    mask[:] = value
    mask[1, 1, 1], mask[2, 1, 1] = 1, 2


@pytest.mark.parametrize("ignore_label", [None, 9])
def test_half_of_the_crops_are_centered_on_foreground(root: Path, ignore_label: int | None) -> None:
    change_masks(root, "aaa", partial(corner, 0 if ignore_label is None else ignore_label))
    made = crops(root, size=(4, 4, 4), ignore_label=ignore_label)
    contained = [(crop > 0).any() for turn in range(20) for crop in made[turn, 0]["mask"]["ct"]]
    assert 0.3 < np.mean(contained) < 0.75


def test_a_crop_is_at_one_position_everywhere(root: Path) -> None:
    for folder in ("images", "masks"):  # the same volume as both modalities
        content = (root / folder / "aaa_ct.nii.gz").read_bytes()
        (root / folder / "aaa_mri.nii.gz").write_bytes(content)
    identity = {name: {"_target_": "monai.transforms.ShiftIntensity", "offset": 0.0} for name in ("ct", "mri")}
    sample = crops(root, spatial=[FLIP], intensities=identity)[0, 0]
    assert np.array_equal(sample["image"]["ct"], sample["image"]["mri"])
    assert np.array_equal(sample["mask"]["ct"], sample["mask"]["mri"])
    assert np.array_equal(sample["image"]["ct"] > 250, sample["mask"]["ct"] > 0)  # between 100, background, and 400


def test_intensities_are_drawn_for_each_modality(root: Path) -> None:
    plain, shaded = crops(root)[0, 0]["image"], crops(root, intensity=[SCALE])[0, 0]["image"]
    ratios = []
    for name in ("ct", "mri"):
        inside = plain[name][0] != 0
        ratios.append(shaded[name][0][inside] / plain[name][0][inside])
    assert all(ratio.std() < 1e-3 for ratio in ratios)
    assert abs(ratios[0].mean() - ratios[1].mean()) > 1e-3


@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize(("options", "outside"), [({}, 0), ({"ignore_label": 9}, -1), ({"labeled_slices": 99}, -1)])
def test_voxels_from_outside_a_partly_labeled_volume_have_no_label(
    root: Path, slices: bool, options: dict[str, Any], outside: int
) -> None:
    change_masks(root, "aaa", lambda mask: mask.fill(1))
    made = volumes(root, slices=slices, **options)
    turn = {"_target_": "monai.transforms.RandAffined", "rotate_range": [0.0, 0.0, 0.5], "padding_mode": "zeros"}
    made.size, made.augment = ([24, 24] if slices else [24, 24, 16]), {"spatial": {"turn": turn | {"prob": 1.0}}}
    mask = made.train(["mask"]).streams()["labeled"][0, 0]["mask"]["ct"]
    assert {*np.unique(mask)} == {outside, 1} and 0.1 < (mask == 1).mean() < 0.8
    made.size = [16, 16] if slices else [16, 16, 8]  # nothing is padded, but the turn moves corners in
    masks = [made.train(["mask"]).streams()["labeled"][n, 0]["mask"]["ct"] for n in range(3)]
    assert {*np.unique(masks)} == {outside, 1}


@pytest.mark.filterwarnings("ignore:Num foregrounds 0")
def test_small_volumes_are_padded_with_background(root: Path) -> None:
    change_masks(root, "aaa", lambda mask: mask.fill(1))
    sample = crops(root, size=(24, 24, 16))[0, 0]
    assert sample["image"]["ct"].shape == (3, 1, 24, 24, 16)
    assert (sample["mask"]["ct"][0] == 0).sum() == 24 * 24 * 16 - 20 * 18 * 10
    change_masks(root, "aaa", lambda mask: mask.fill(0))  # cropped anywhere
    assert crops(root)[0, 0]["mask"]["ct"].sum() == 0
    for path in (root / "masks").iterdir():
        path.write_text("never read")
    made = crops(root, ())  # without masks none is opened
    assert {*made[0, 0]} == {"image", "index", "id"} and {*made[0, 0]["image"]} == {"ct", "mri"}
    assert "mask" not in batch_of(made)
