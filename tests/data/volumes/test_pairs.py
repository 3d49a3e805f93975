"""The list of cases: splits, refusals, and files that are never opened."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data.volumes.pairs import read_cases

from .conftest import SHAPES, SIDES, pairs, volumes, write


def test_cases_are_named_after_their_files(root: Path) -> None:
    listed = root / "dataset.json"
    listed.write_text("\ufeff" + listed.read_text(), encoding="utf-8")  # as Windows writes it
    made = pairs(root)
    labeled, unlabeled = ["aaa", "bbb", "ccc"], ["ddd", "eee"]
    assert made.splits() == {"train": labeled, "unlabeled": unlabeled, "val": ["fff"], "test": ["ggg"]}
    assert made.volume("aaa", "mri").shape == SHAPES["mri"]
    assert made.header("aaa", "ct").spacing == SIDES["ct"] and made.names == ["ring", "ball"]


def test_cases_with_an_ambiguous_prefix_get_long_names(root: Path, content: dict) -> None:
    for entry in content["training"]:
        entry["img_ct"] = content["validation"][0]["img_ct"]
    (root / "dataset.json").write_text(json.dumps(content))
    assert "fff+aaa" in pairs(root).cases


@pytest.mark.parametrize(
    ("files", "case"),
    [
        ({"T1": "a/p.1_T1.nii.gz", "T2": "b/p.1_T2.nii.gz"}, "p.1"),  # not p.1_T
        ({"mri": "a/p1_MRI.nii"}, "p1"),
        ({"mri": "a/p1.NII.GZ"}, "p1"),
        ({"T1w": "sub-01_acq-a_T1w.nii.gz", "T2w": "sub-01_acq-b_T2w.nii.gz"}, "sub-01_acq"),
    ],
)
def test_an_id_has_no_part_of_a_modality(files: dict[str, str], case: str) -> None:
    listed = {"training": [{f"img_{name}": path for name, path in files.items()}]}
    assert [*read_cases(listed, Path("dataset.json"))] == [case]


@pytest.mark.parametrize(("fraction", "labeled"), [(0.2, 1), (0.34, 1), (0.7, 2), (0.9, 3)])
def test_a_fraction_of_the_cases_with_masks_is_labeled(root: Path, fraction: float, labeled: int) -> None:
    splits = pairs(root, labeled_fraction=fraction).splits()
    assert len(splits["train"]) == labeled and {*splits["train"]} <= {"aaa", "bbb", "ccc"}
    assert {*splits["train"], *splits["unlabeled"]} == {"aaa", "bbb", "ccc", "ddd", "eee"}
    assert splits == pairs(root, labeled_fraction=fraction).splits()
    drawn = {tuple(pairs(root, labeled_fraction=fraction, split_seed=seed).splits()["train"]) for seed in range(9)}
    assert len(drawn) > 1 or labeled == 3


def test_the_cases_of_a_patient_are_drawn_together(root: Path, content: dict) -> None:
    for entry in content["training"][:2]:
        entry["patient"] = "one"
    (root / "dataset.json").write_text(json.dumps(content))
    drawn = [pairs(root, labeled_fraction=0.5, split_seed=seed).splits()["train"] for seed in range(9)]
    assert {tuple(cases) for cases in drawn} == {("aaa", "bbb"), ("ccc",)}


def test_folds_of_cases_cover_train_and_val(root: Path) -> None:
    splits = [pairs(root, fold=[k, 4]).splits() for k in range(4)]
    assert sorted(case for split in splits for case in split["val"]) == ["aaa", "bbb", "ccc", "fff"]
    assert all(len(split["train"]) == 3 and split["test"] == ["ggg"] for split in splits)
    assert all(split["unlabeled"] == ["ddd", "eee"] for split in splits)
    with pytest.raises(ValueError, match=r"fold must be \[k, n\]"):
        pairs(root, fold=[4, 4])


def test_masks_of_unlabeled_cases_are_never_opened(root: Path) -> None:
    seed = next(n for n in range(99) if pairs(root, labeled_fraction=0.34, split_seed=n).splits()["train"] == ["aaa"])
    for mask in (root / "masks").iterdir():
        if mask.name[0] in "bc":
            mask.write_text("never read")
    training = volumes(root, labeled_fraction=0.34, split_seed=seed).train(["mask", "unlabeled"])
    assert training.ids[::2] == ["aaa_ct", "bbb_ct", "ccc_ct", "ddd_ct", "eee_ct"]
    assert training.labels == {"volume_mask": 2}
    assert volumes(root, labeled_fraction=0.34, split_seed=seed).train(["mask"]).ids == ["aaa_ct", "aaa_mri"]


def test_only_the_evaluated_split_is_checked(root: Path) -> None:
    (root / "images" / "aaa_ct.nii.gz").unlink()
    assert volumes(root).split("test").ids == ["ggg_ct", "ggg_mri"]
    with pytest.raises(ValueError, match=r"aaa_ct\.nii\.gz: no such file"):
        volumes(root).train(["mask"])


def test_each_invalid_file_has_a_line_before_the_training(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root / "images" / "aaa_ct.nii.gz", np.zeros(SHAPES["ct"], np.complex64), SIDES["ct"])
    (root / "masks" / "bbb_mri.nii.gz").write_text("damaged")
    write(root / "masks" / "ccc_ct.nii.gz", np.zeros(SHAPES["ct"], np.uint8), (-2.0, 2.0, 4.0))  # mirrored
    with pytest.raises(ValueError, match=r"^3 of 6 are invalid, each has a line above; the first: .*aaa_ct\.nii\.gz"):
        volumes(root).train(["mask"])
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [Path(line.split(": ")[0]).name[:7] for line in lines] == ["aaa_ct.", "bbb_mri", "ccc_ct."]
    assert "complex" in lines[0] and "cannot decode" in lines[1] and "19 voxels away" in lines[2]


def test_a_body_that_is_damaged_is_named_when_it_is_read(root: Path) -> None:
    path = root / "images" / "aaa_ct.nii.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum
    path.write_bytes(content)
    streams = volumes(root).train(["mask"]).streams()
    assert streams["labeled"][0, 1]["id"] == "bbb"
    with pytest.raises(ValueError, match=r"cannot decode .*aaa_ct\.nii\.gz: CRC"):
        streams["labeled"][0, 0]


def rename(content: dict) -> None:
    content["training"][0]["img_t2"] = content["training"][0].pop("img_ct")


def leave_nothing(content: dict) -> None:
    content["training"], content["unlabeled_training"] = [], []


def repeat(content: dict) -> None:
    content["validation"].append(content["training"][0] | {"id": "other"})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (rename, {}, r"1 of 7 cases have no img_ct \(aaa.*\); aaa.* has mri, t2; add it, leave"),
        (leave_nothing, {}, "no case under training"),
        (repeat, {}, r"aaa_ct\.nii\.gz is both in train and in val"),
        (lambda content: content["training"][0].update(img_ct="../secret.nii"), {}, "leads out of the folder"),
        (lambda content: content["training"][0].update(img_ct="/etc/passwd"), {}, "leads out of the folder"),
        (lambda content: content["training"][0].update(img_ct="./"), {}, "'./' is not a path"),
        (lambda content: content["training"][0].update(img_ct=None), {}, "None is not a path; .* or leave its key out"),
        (lambda content: content["training"][0].update(id="../x"), {}, "is not a valid id"),
        (lambda content: [entry.update(id="x") for entry in content["training"][:2]], {}, "x is listed twice"),
        (lambda content: content["training"].append("aaa"), {}, "'aaa' is not a case"),
        (
            lambda content: content["training"].append({"image": "a.nii"}),
            {},
            r"'a.nii'} is not a case; .* img_<modality>",
        ),
        (lambda content: content["training"][0].update(patient=None), {}, "patient None is not a name"),
        (lambda content: content["training"][0].update(patient=float("nan")), {}, "patient nan is not a name"),
        (lambda content: content["training"][0].update(id=" "), {}, "id ' ' is not a name"),
        (lambda content: content.update(testing=5), {}, "testing must be a list of cases"),
        (lambda content: content["training"][0].pop("mask_ct"), {}, "aaa has no mask_ct"),
        (lambda content: content["labels"].pop("1"), {}, "labels has 2 names, but classes=3"),
        (
            lambda content: content["labels"].update({"1": "level_1"}),
            {},
            "labels: level_1 is the name of another column",
        ),
        (lambda content: None, {"classes": 4}, "labels has 3 names, but classes=.; set data.classes=3"),
        (lambda content: None, {"classes": 1}, "labels has 3 names, but classes=.; set data.classes=3"),
        (lambda content: None, {"modalities": ["ct", "pet"]}, r"7 of 7 cases have no img_pet \(aaa, .*aaa has ct, mri"),
        (lambda content: None, {"labeled_fraction": 0.1}, "of 3 cases with masks labels none; give 0.2 or"),
        (lambda content: None, {"ignore_label": 2}, r"ignore_label must not be one of the labels \[0, 1, 2\], got 2"),
        (lambda content: None, {"list": "other.json"}, "data.root: no other.json in"),
        (lambda content: content.pop("unlabeled_training"), {}, "no unlabel"),
    ],
)
def test_an_invalid_list_is_refused_in_one_line(
    change: Callable, options: dict[str, Any], message: str, root: Path, content: dict
) -> None:
    change(content)
    (root / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as refused:
        volumes(root, **options).train(["mask", "unlabeled"])
    assert "\n" not in str(refused.value)


def test_other_lists_and_targets_are_refused(root: Path, content: dict) -> None:
    with pytest.raises(ValueError, match=r"trains on boxes, .* choose another supervision"):
        volumes(root).train(["boxes"])
    del content["unlabeled_training"][0]["img_mri"]
    texts = {"[1, 2]": "example", "no json": "example", json.dumps(content): r"no img_mri \(ddd.* has ct;"}
    for text, message in texts.items():
        (root / "dataset.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            pairs(root)
