"""The keys of volumes, and the transforms that they name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fovea.data.volumes.prepared import Array
from fovea.data.volumes.source import Volumes, transform_of
from fovea.runtime.bounds import check

from .conftest import volumes


def test_labels_are_augmented_by_the_nearest_voxel() -> None:
    arrays = [Array("image", "ct"), Array("mask", "ct", nearest=True)]
    affine = {"_target_": "monai.transforms.RandAffined", "prob": 1.0, "rotate_range": [0.5, 0.0, 0.0]}
    moved = transform_of(affine, arrays)({array: torch.randint(3, (1, 8, 8, 8)).float() for array in arrays})
    assert {*moved[arrays[1]].unique().tolist()} <= {0.0, 1.0, 2.0} and len(moved[arrays[0]].unique()) > 3
    with pytest.raises(ValueError, match="RandAffine has no keys"):
        transform_of(affine | {"_target_": "monai.transforms.RandAffine"}, arrays)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("size", 16), ("size", [8, 8]), ("size", [8, 8, 0]), ("spacing", [1.0, 0.0, None]), ("channels", 2)),
        *(
            ("modalities", "ct"),
            ("modalities", []),
            ("classes", 0),
            ("classes", 257),
            ("crops", 0),
            ("overlap", 1.0),
            ("windows", 1.5),
        ),
    ],
)
def test_a_value_out_of_bounds_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^data\.{key}.* must be (?!null)"):
        check(Volumes, {key: value}, "data")


def test_values_in_bounds_are_accepted() -> None:
    values = {"size": [8, 8, 8], "spacing": [1.0, 2, None], "modalities": None, "classes": None, "overlap": 0.5}
    check(Volumes, values | {"channels": 1}, "data")
    check(Volumes, {"spacing": None}, "data")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": None}, "data.modalities is not given"),
        ({"classes": None}, "data.classes is not given"),
        ({"modalities": ["ct", "ct"]}, "data.modalities must be different names"),
        ({"modalities": ["ct", "us"]}, "data.intensity has no us"),
        ({"fold": [0, 2]}, r"^data\.dataset\.fold would be ignored; set data\.fold$"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        volumes(tmp_path, **options).split("val")


def test_whole_masks_partial_ones_and_slices_are_counted_apart(root: Path) -> None:
    options: list[dict[str, Any]] = [{}, {"ignore_label": 9}, {"labeled_slices": 2}, {"labeled_slices": 99}]
    counted = [volumes(root, **each).train(["mask"]).labels for each in options]
    assert json.loads(json.dumps(counted)) == [
        {"volume_mask": 6},
        {"partial_volume_mask": 6},
        {"volume_slices": 12},
        {"volume_slices": 30},
    ]


def test_labeled_slices_that_resampling_may_drop_are_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for spacing, slices in (([4.0, 4.0, 4.0], False), ([4.0, 4.0, None], False), ([4.0, 4.0, 9.0], True)):
        volumes(root, labeled_slices=2, spacing=spacing, slices=slices).train(["mask"])
    assert "drops slices" not in caplog.text
    volumes(root, labeled_slices=2, spacing=[4.0, 4.0, 6.0]).train(["mask"])  # the sides are 4 and 7 mm
    assert (
        "data.spacing=[4.0, 4.0, 6.0] drops slices, maybe labeled ones, of aaa_ct, bbb_ct, ccc_ct: set" in caplog.text
    )
