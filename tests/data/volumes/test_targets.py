"""Masks with unlabeled voxels, and continuous maps, from files to batches and scores."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from fovea.data.volumes.targets import Mask, PseudoMask

from .conftest import SHAPES, SIDES, batch_of, change_masks, pairs, volumes, write

SCRIBBLES = Path(os.environ.get("FOVEA_TEST_DATA", "missing")) / "cardiac"


def count_in_file(path: Path, value: int) -> int:
    return sum(int(voxel) == value for voxel in np.asarray(nib.load(path).dataobj).ravel())


def mri(root: Path, **options: Any) -> Any:
    return volumes(root, modalities=["mri"], **options)


@pytest.fixture
def with_maps(root: Path, content: dict[str, Any]) -> Path:
    """Replace the masks of training cases by maps of their MRI."""
    for entry in content["training"]:
        mask = np.asarray(nib.load(root / entry.pop("mask_mri")).dataobj)
        entry["map_mri"] = entry["img_mri"].replace("images", "maps")
        write(root / entry["map_mri"], (0.2 + 0.3 * mask).astype(np.float32), SIDES["mri"])
    (root / "dataset.json").write_text(json.dumps(content))
    return root


class TestMask:
    @pytest.mark.parametrize("split", ["val", "test"])
    def test_a_damaged_mask_is_refused(self, root: Path, content: dict[str, Any], split: str) -> None:
        [entry, *_] = content[{"val": "validation", "test": "testing"}[split]]
        mask = root / entry["mask_mri"]
        mask.write_bytes(mask.read_bytes()[:-60])
        with pytest.raises(ValueError, match=mask.name):
            mri(root).split(split)
        if split == "val":
            with pytest.raises(ValueError, match=mask.name):
                mri(root).train(["mask"])

    @pytest.mark.parametrize("classes", [1, 3])
    def test_ignored_voxels_are_counted_as_in_the_file(self, root: Path, content: dict, classes: int) -> None:
        if classes == 1:
            (root / "dataset.json").write_text(json.dumps(content | {"labels": {"0": "background", "1": "ring"}}))
        for case in ("aaa", "bbb", "ccc", "fff"):
            change_masks(root, case, lambda mask: np.place(mask, mask == 2, 9))
        made = mri(root, classes=classes, ignore_label=9)
        made.size = [*SHAPES["mri"]]
        training = made.train(["mask"])
        [stream] = training.streams().values()
        batch = batch_of(stream)["mask"]
        expected = count_in_file(root / "masks" / "aaa_mri.nii.gz", 9)
        assert expected > 0 and int((batch["mri"] == -1).sum()) == expected
        assert batch["mri"].shape == ((1, 1) if classes == 1 else (1,)) + SHAPES["mri"]
        assert batch["mri"].dtype == (torch.float32 if classes == 1 else torch.int64)
        target = training.val.samples[0]["target"]
        assert int((target == -1).sum()) == count_in_file(root / "masks" / "fff_mri.nii.gz", 9)
        assert training.val.classes == ([] if classes == 1 else ["ring", "ball"])

    def test_a_mask_with_only_ignored_voxels_is_left_out(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        change_masks(root, "aaa", lambda mask: mask.fill(9))
        change_masks(root, "bbb", lambda mask: np.place(mask, mask == 2, 9))
        with caplog.at_level(logging.WARNING):
            assert volumes(root, ignore_label=9).train(["mask"]).ids[::2] == ["bbb_ct", "ccc_ct"]
        assert "1 cases are left out" in caplog.text and "aaa" in caplog.text
        with pytest.raises(ValueError, match=r"unknown label 9; .*data\.ignore_label"):
            volumes(root).train(["mask"])
        for case in ("bbb", "ccc"):
            change_masks(root, case, lambda mask: mask.fill(9))
        with pytest.raises(ValueError, match="no mask under training has a labeled voxel"):
            volumes(root, ignore_label=9).train(["mask"])

    def test_a_class_without_labels_is_named(self, root: Path, content: dict, caplog: pytest.LogCaptureFixture) -> None:
        content["training"] = content["training"][:1]
        (root / "dataset.json").write_text(json.dumps(content))
        change_masks(root, "aaa", lambda mask: np.place(mask, mask == 2, 1))
        with caplog.at_level(logging.WARNING):
            volumes(root).train(["mask"])
        assert [record.getMessage() for record in caplog.records] == ["no labeled case has ball: it cannot be learned"]

    def test_masks_of_a_case_have_the_same_labels(self, root: Path) -> None:
        write(root / "masks" / "bbb_mri.nii.gz", np.ones(SHAPES["mri"], np.uint8), SIDES["mri"])
        with pytest.raises(ValueError, match=r"bbb_mri.*: has labels \[1\], but the mask of ct has \[0, 1, 2\]"):
            volumes(root).train(["mask"])
        assert mri(root).train(["mask"]).ids == ["aaa_mri", "bbb_mri", "ccc_mri"]

    @pytest.mark.skipif(not SCRIBBLES.is_dir(), reason="FOVEA_TEST_DATA has no cardiac volumes")
    def test_scribbles_of_an_expert_are_read(self, tmp_path: Path) -> None:
        case = {"img_LGE": "images/case20_LGE.nii.gz", "mask_LGE": "scribbles/case20_LGE.nii.gz"}
        labels = json.loads((SCRIBBLES / "dataset.json").read_text())["labels"]
        (tmp_path / "list.json").write_text(json.dumps({"labels": labels, "training": [case]}))
        for folder in ("images", "scribbles"):
            (tmp_path / folder).symlink_to(SCRIBBLES / folder)
        dataset = pairs(tmp_path, list="list.json", modalities=["LGE"], classes=4, ignore_label=4)
        assert Mask(dataset).check(["case20"]) == ["case20"]
        scribbles = Mask(dataset).labels("case20", "LGE")
        assert {*np.unique(scribbles)} == {-1, 0, 1, 2, 3}
        assert (scribbles == -1).sum() == count_in_file(tmp_path / case["mask_LGE"], 4)


class TestPseudoMask:
    def test_maps_are_served_as_pseudo(self, with_maps: Path) -> None:
        made = mri(with_maps)
        made.size = [*SHAPES["mri"]]
        training = made.train(["pseudo"])
        [(name, stream)] = training.streams().items()
        sample = stream[0, 0]
        assert name == "labeled" and sample["pseudo"]["mri"].dtype == np.float32
        np.testing.assert_allclose(np.unique(sample["pseudo"]["mri"]), [0.2, 0.5, 0.8])
        batch = batch_of(stream)
        assert batch["pseudo"].shape == (1, 1, *SHAPES["mri"]) and training.val.select_on == "mask"

    def test_the_threshold_gives_labels_and_foreground(self, with_maps: Path) -> None:
        target = PseudoMask(pairs(with_maps, modalities=["mri"]), 0.6)
        labels = target.labels("aaa", "mri")
        assert np.array_equal(labels, target.read("aaa", "mri") > 0.7) and labels.dtype == np.int64
        assert target.foreground(torch.tensor([0.5, 0.6])).tolist() == [False, True]

    def test_several_modalities_are_refused(self, with_maps: Path) -> None:
        with pytest.raises(ValueError, match="trains on maps, which need a single modality"):
            volumes(with_maps).train(["pseudo"])

    def test_a_case_without_a_map_is_refused(self, root: Path) -> None:
        with pytest.raises(ValueError, match="aaa has no map_mri"):
            mri(root).train(["pseudo"])
