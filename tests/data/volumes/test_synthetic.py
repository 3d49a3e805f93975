"""Generated cases: whole or absent, and one anatomy in several contrasts."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from fovea.data.volumes.pairs import Pairs
from fovea.data.volumes.synthetic import LABELS, SyntheticPairs, draw
from fovea.data.volumes.targets import Mask

ARGUMENTS: dict[str, Any] = {"drawn": ["ct", "mri"], "modalities": ["ct", "mri"], "list": "dataset.json", "classes": 4}
ARGUMENTS |= {"labeled": 2, "unlabeled": 1, "validation": 1, "testing": 1, "seed": 0}
ARGUMENTS |= {"shape": [24, 20, 8], "voxel": [2.0, 2.0, 5.0], "shift": 0.0}
GRID: dict[str, Any] = {"shape": (64, 64, 16), "voxel": (1.5, 1.5, 5.0)}


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.nii.gz")}


def centers(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the centers of the structures in mm, [3, 3]."""
    return np.array(center_of_mass(mask > 0, mask, range(1, len(LABELS)))) @ affine[:3, :3].T + affine[:3, 3]


def test_the_set_is_valid_and_a_pure_function_of_its_arguments(tmp_path: Path) -> None:
    made = SyntheticPairs(tmp_path / "set", **ARGUMENTS)
    assert {name: len(ids) for name, ids in made.splits().items()} == {"train": 2, "unlabeled": 1, "val": 1, "test": 1}
    assert Mask(made).check([*made.splits()["train"], *made.splits()["val"]])
    assert not any(made.has("mask", case) for case in made.splits()["unlabeled"])
    assert [nib.aff2axcodes(nib.load(made.file("img", "training_000", name)).affine) for name in ("ct", "mri")] == [
        ("R", "A", "S"),
        ("L", "P", "S"),
    ]
    SyntheticPairs(tmp_path / "fewer", **ARGUMENTS | {"labeled": 1, "unlabeled": 0})
    fewer, all_cases = content(tmp_path / "fewer"), content(tmp_path / "set")
    assert len(fewer) == 12 and all(all_cases[name] == fewer[name] for name in fewer)
    SyntheticPairs(tmp_path / "other", **ARGUMENTS | {"seed": 1})
    assert content(tmp_path / "other").keys() == all_cases.keys() and content(tmp_path / "other") != all_cases


def test_modalities_show_one_anatomy_in_different_contrasts() -> None:
    for case in range(4):
        volumes = [draw([0, case], modality, **GRID, shift=0.0) for modality in range(3)]
        places = [centers(mask, affine) for _, mask, affine in volumes]
        assert max(np.abs(place - places[0]).max() for place in places) < 5
        orders = {tuple(np.argsort([np.median(image[mask == k]) for k in range(4)])) for image, mask, _ in volumes}
        assert len(orders) == 3
        shares = [np.mean(volumes[0][1] == label) for label in (1, 2, 3)]
        assert min(shares) > 0.002 and max(shares) < 0.12


def test_a_shift_moves_all_but_the_first_modality() -> None:
    still, moved = ([draw([0, 1], modality, **GRID, shift=amount) for modality in (0, 1)] for amount in (0.0, 15.0))
    np.testing.assert_array_equal(still[0][0], moved[0][0])
    assert 1 < np.linalg.norm(centers(*moved[1][1:]) - centers(*still[1][1:]), axis=1).mean() < 16


def test_a_drawn_set_is_left_alone(tmp_path: Path) -> None:
    SyntheticPairs(tmp_path / "set", **ARGUMENTS)
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"mine": True}))
    with pytest.raises(ValueError, match=r"dataset\.json"):
        SyntheticPairs(tmp_path / "set", **ARGUMENTS)  # not drawn again
    with pytest.raises(ValueError, match="drawn must be one to three"):
        SyntheticPairs(tmp_path / "new", **ARGUMENTS | {"drawn": ["a", "../b"]})
    assert issubclass(SyntheticPairs, Pairs) and not (tmp_path / "new").exists()
