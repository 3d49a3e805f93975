"""The list of cases: who is labelled, what is refused, what is never opened."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fovea.data.volumes.pairs import Pairs
from fovea.data.volumes.source import Volumes

from .conftest import SHAPES, SIDES, write


def pairs(root: Path, **options) -> Pairs:
    return Pairs(**({"root": root, "list": "dataset.json", "modalities": ["ct", "mri"], "classes": 3} | options))


def volumes(root: Path, **options) -> Volumes:
    """Return volumes with the usual settings; the options are those of the list of cases."""
    pairs = {"_target_": "fovea.data.volumes.pairs.Pairs", "_partial_": True, "list": "dataset.json"}
    return Volumes(
        name="pairs",
        root=str(root),
        modalities=options.pop("modalities", ["ct", "mri"]),
        classes=options.pop("classes", 3),
        dataset=pairs | options,
        channels=1,
        size=[8, 8, 8],
        spacing=None,
        intensity={name: {"_target_": "monai.transforms.NormalizeIntensity"} for name in ("ct", "mri", "t2", "pet")},
        labeled_fraction=None,
        crops=1,
        misalignment={},
        augment={},
        overlap=0.5,
        windows=1,
        batch_size=1,
        num_workers=0,
        drop_last=False,
        seed=0,
    )


def of_mri(*cases: str) -> list[str]:
    return [f"{case}_mri" for case in cases]


def test_cases_are_named_after_their_files(root: Path) -> None:
    made = pairs(root)
    assert made.splits() == {
        "train": ["aaa", "bbb", "ccc"],
        "unlabeled": ["ddd", "eee"],
        "val": ["fff"],
        "test": ["ggg"],
    }
    assert made.volume("aaa", "mri").shape == made.mask("aaa", "mri").shape == SHAPES["mri"]
    assert made.header("aaa", "ct").spacing == SIDES["ct"] and made.names == ["ring", "ball"]


def test_cases_of_unlike_names_are_named_after_all(root: Path, content: dict) -> None:
    for entry in content["training"]:
        entry["img_ct"] = content["validation"][0]["img_ct"]
    (root / "dataset.json").write_text(json.dumps(content))
    assert "fff_ct+aaa_mri" in pairs(root).cases


def test_one_modality_of_several_is_enough(root: Path) -> None:
    assert volumes(root, modalities=["mri"]).train(["mask"]).ids == of_mri("aaa", "bbb", "ccc")


@pytest.mark.parametrize(("fraction", "labeled"), [(0.2, 1), (0.34, 1), (0.7, 2)])
def test_a_fraction_of_the_cases_with_masks_is_labelled(root: Path, fraction: float, labeled: int) -> None:
    splits = pairs(root, labeled_fraction=fraction).splits()
    assert len(splits["train"]) == labeled and {*splits["train"]} < {"aaa", "bbb", "ccc"}
    assert {*splits["train"], *splits["unlabeled"]} == {"aaa", "bbb", "ccc", "ddd", "eee"}
    assert splits == pairs(root, labeled_fraction=fraction).splits()
    drawn = {tuple(pairs(root, labeled_fraction=fraction, split_seed=seed).splits()["train"]) for seed in range(9)}
    assert len(drawn) > 1


def test_the_cases_of_a_patient_are_drawn_together(root: Path, content: dict) -> None:
    for entry in content["training"][:2]:
        entry["patient"] = "one"
    (root / "dataset.json").write_text(json.dumps(content))
    drawn = [pairs(root, labeled_fraction=0.5, split_seed=seed).splits()["train"] for seed in range(9)]
    assert {tuple(each) for each in drawn} == {("aaa", "bbb"), ("ccc",)}


def test_masks_of_unlabelled_cases_are_never_opened(root: Path) -> None:
    for mask in (root / "masks").iterdir():
        if mask.name[0] not in "fg":
            mask.write_text("nobody reads this")
    (root / "masks" / "aaa_ct.nii.gz").write_bytes((root / "masks" / "fff_ct.nii.gz").read_bytes())
    (root / "masks" / "aaa_mri.nii.gz").write_bytes((root / "masks" / "fff_mri.nii.gz").read_bytes())
    seed = next(n for n in range(99) if pairs(root, labeled_fraction=0.34, split_seed=n).splits()["train"] == ["aaa"])

    training = volumes(root, labeled_fraction=0.34, split_seed=seed).train(["mask", "unlabeled"])
    assert [image for image in training.ids if image.endswith("_mri")] == of_mri("aaa", "bbb", "ccc", "ddd", "eee")


def test_a_supervision_without_unlabelled_cases_lists_none(root: Path) -> None:
    supervised = volumes(root).train(["mask"])
    assert "eee_mri" not in supervised.ids and supervised.val.select_on == "mask"
    assert supervised.digest != volumes(root).train(["mask", "unlabeled"]).digest


def test_only_the_split_that_is_evaluated_is_looked_at(root: Path) -> None:
    (root / "images" / "aaa_ct.nii.gz").unlink()
    assert volumes(root).split("test").ids == ["ggg_ct", "ggg_mri"]
    with pytest.raises(ValueError, match=r"aaa_ct\.nii\.gz: no such file"):
        volumes(root).train(["mask"])


def rename(content: dict) -> None:
    content["training"][0]["img_t2"] = content["training"][0].pop("img_ct")


def leave_nothing(content: dict) -> None:
    content["training"], content["unlabeled_training"] = [], []


def repeat(content: dict) -> None:
    content["validation"].append(content["training"][0] | {"id": "other"})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (rename, {}, "aaa has no img_ct; it has mri, t2|has no img_ct; it has"),
        (leave_nothing, {}, "no case under training"),
        (repeat, {}, r"aaa_ct\.nii\.gz is both in train and in val"),
        (lambda content: content["training"][0].update(img_ct="../secret.nii"), {}, "leads out of the folder"),
        (lambda content: content["training"][0].update(img_ct="/etc/passwd"), {}, "leads out of the folder"),
        (lambda content: content["training"][0].update(img_ct="./"), {}, "leads out of the folder"),
        (lambda content: content["training"][0].update(img_ct=7), {}, "leads out of the folder"),
        (lambda content: content["training"][0].update(id="../x"), {}, "is no id of a case"),
        (lambda content: [each.update(id="x") for each in content["training"][:2]], {}, "x: listed twice"),
        (lambda content: content["training"].append("aaa"), {}, "'aaa' is no case"),
        (lambda content: content["training"][0].pop("mask_ct"), {}, "aaa has no mask_ct"),
        (lambda content: content.update(labels={"0": "background", "2": "ball"}), {}, "labels: .* by number"),
        (lambda content: content["labels"].update({"1": "level_1"}), {}, "level_1 is what a table calls an output"),
        (lambda content: None, {"classes": 4}, "names 3 labels; set data.classes=3"),
        (lambda content: None, {"modalities": ["ct", "pet"]}, "has no img_pet; it has ct, mri"),
        (lambda content: None, {"labeled_fraction": 0.1}, "of 3 cases with masks leaves no labelled one; give 0.33"),
        (lambda content: None, {"labeled_fraction": 1.0}, r"give a part in \(0, 1\)"),
        (lambda content: None, {"list": "other.json"}, "data.root: no other.json in"),
        (lambda content: content.pop("unlabeled_training"), {}, "no unlabeled case"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_in_one_line(
    change: Callable, options: dict, message: str, root: Path, content: dict
) -> None:
    change(content)
    (root / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as refused:
        volumes(root, **options).train(["mask", "unlabeled"])
    assert "\n" not in str(refused.value)


def test_what_is_no_list_is_refused(root: Path) -> None:
    for text in ("[1, 2]", "no json"):
        (root / "dataset.json").write_text(text)
        with pytest.raises(ValueError, match="example"):
            pairs(root)


def test_a_mask_on_another_grid_is_refused(root: Path) -> None:
    write(root / "masks" / "bbb_ct.nii.gz", np.zeros((20, 18, 9), np.uint8), SIDES["ct"])
    with pytest.raises(ValueError, match=r"bbb_ct.nii.gz: of \(20, 18, 9\) voxels, on another grid"):
        volumes(root).train(["mask"])


def test_masks_of_one_case_have_the_same_labels(root: Path) -> None:
    write(root / "masks" / "bbb_ct.nii.gz", np.ones(SHAPES["ct"], np.uint8), SIDES["ct"])
    with pytest.raises(
        ValueError, match=r"bbb: its masks have different labels: .*mri.* has \[0, 1, 2\], .*ct.* \[1\]"
    ):
        pairs(root).mask("bbb", "mri")


def test_a_target_that_volumes_do_not_serve_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="trains on pseudo, which volumes do not serve; choose supervision=cmc"):
        volumes(root).train(["pseudo"])
