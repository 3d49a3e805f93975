"""Crops of cases: one place in all modalities, drawn anew each pass and the same however they are made."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import RandFlipd, RandScaleIntensityd

from fovea.data.loader import EpochBatches, Order, TrainingLoader
from fovea.data.volumes.crops import Crops

from .conftest import draw
from .test_prepared import prepared

SIZE = (8, 8, 6)
FLIP, SCALE = partial(RandFlipd, prob=0.5, spatial_axis=0), partial(RandScaleIntensityd, factors=0.5, prob=1.0)


def crops(
    root: Path, masks: bool = True, moves: Sequence = (), shades: Sequence = (), size=SIZE, seed: int = 0
) -> Crops:
    made = prepared(root, masks, spacing=None)
    return Crops(made, made, size, 3, moves, shades, seed)


def test_a_case_gives_several_crops_of_every_modality(root: Path) -> None:
    sample = crops(root)[0, 1]
    assert sample["image ct"].shape == sample["mask mri"].shape == (3, 1, *SIZE) and sample["id"] == "bbb"
    batch = {name: torch.from_numpy(np.stack([sample[name]] * 2)) for name in sample if " " in name} | {"id": ["b"] * 2}
    finished = crops(root).finish(batch)
    assert finished["image"]["ct"].shape == (6, 1, *SIZE) and finished["image"]["ct"].dtype == torch.float32
    assert finished["mask"]["mri"].shape == (6, *SIZE) and finished["mask"]["mri"].dtype == torch.int64


def test_crops_are_a_pure_function_of_seed_pass_and_case(root: Path) -> None:
    def first(turn: int, seed: int = 0, before: int = 0) -> np.ndarray:
        made = crops(root, moves=[FLIP], shades=[SCALE], seed=seed)
        for _ in range(before):
            made[7, 0]
        return made[turn, 0]["image ct"]

    assert np.array_equal(first(0), first(0, before=2))
    assert not np.array_equal(first(0), first(1)) and not np.array_equal(first(0), first(0, seed=1))


def test_half_of_the_labelled_crops_are_centred_on_foreground(root: Path) -> None:
    for path in (root / "masks").iterdir():  # one voxel in a corner that a random crop rarely holds
        import nibabel as nib

        mask = np.zeros(nib.load(path).shape, np.uint8)
        mask[1, 1, 1], mask[2, 1, 1] = 1, 2
        nib.save(nib.Nifti1Image(mask, nib.load(path).affine), path)
    made = crops(root, size=(4, 4, 4))
    held = [(crop > 0).any() for turn in range(20) for crop in made[turn, 0]["mask ct"]]
    assert 0.3 < np.mean(held) < 0.75


def test_a_crop_is_at_one_place_in_all_modalities_and_masks(root: Path, tmp_path: Path) -> None:
    # the same volume as both modalities: whatever is done to one is done to the other, and to the masks
    for name in "ab":
        for kind in ("images", "masks"):
            source = (root / kind / f"{name * 3}_ct.nii.gz").read_bytes()
            (root / kind / f"{name * 3}_mri.nii.gz").write_bytes(source)
    made = prepared(root, spacing=None, ct=lambda volume: volume, mri=lambda volume: volume)
    sample = Crops(made, made, SIZE, 3, [FLIP], [], 0)[0, 0]
    assert np.array_equal(sample["image ct"], sample["image mri"])
    assert np.array_equal(sample["mask ct"], sample["mask mri"])
    inside = sample["image ct"] > 250  # between 100, the background, and 400
    assert np.array_equal(inside, sample["mask ct"] > 0)


def test_intensities_are_drawn_for_each_modality(root: Path) -> None:
    plain, shaded = crops(root)[0, 0], crops(root, shades=[SCALE])[0, 0]
    factors = {
        name: np.median(shaded[name][0] / np.where(plain[name][0] == 0, np.nan, plain[name][0]), axis=None)
        for name in ("image ct", "image mri")
    }
    ratios = {name: (shaded[name][0][plain[name][0] != 0] / plain[name][0][plain[name][0] != 0]) for name in factors}
    assert all(each.std() < 1e-3 for each in ratios.values())
    assert abs(ratios["image ct"].mean() - ratios["image mri"].mean()) > 1e-3


def test_volumes_smaller_than_a_crop_are_padded(root: Path) -> None:
    sample = crops(root, size=(24, 24, 16))[0, 0]
    assert sample["image ct"].shape == (3, 1, 24, 24, 16) and (sample["mask ct"] > 0).any()


def test_without_masks_none_is_read(root: Path) -> None:
    for path in (root / "masks").iterdir():
        path.write_text("nobody reads this")
    sample = crops(root, masks=False)[0, 0]
    assert {name for name in sample if " " in name} == {"image ct", "image mri"}
    assert set(crops(root, masks=False).finish({k: torch.zeros(1, 3, 1, *SIZE) for k in sample} | {"id": []})) == {
        "image",
        "id",
    }


@pytest.mark.parametrize("workers", [0, 1])
def test_two_streams_come_together(root: Path, workers: int) -> None:
    streams = {"labeled": crops(root), "unlabeled": crops(root, masks=False)}
    orders = {name: Order(2, 1, False, 0) for name in streams}
    batches = list(TrainingLoader(streams, EpochBatches(orders), num_workers=workers))
    assert len(batches) == 2
    assert batches[0]["labeled"]["mask ct"].shape == (1, 3, 1, *SIZE) and "mask ct" not in batches[0]["unlabeled"]


@pytest.mark.filterwarnings("ignore:Num foregrounds 0")
def test_a_case_without_foreground_is_cropped_anywhere(root: Path, content: dict) -> None:
    draw(root, "aaa", True, 1)
    for name in ("ct", "mri"):
        import nibabel as nib

        image = nib.load(root / "masks" / f"aaa_{name}.nii.gz")
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), root / "masks" / f"aaa_{name}.nii.gz")
    assert crops(root)[0, 0]["mask ct"].sum() == 0
