"""What goes where, and what is refused before anything is loaded."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.plan import evaluation_plan, make_plan
from fovea.data.store import Store

PARAMETERS = {"labels.sigma": 70.0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images with masks."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(12):
            Image.fromarray(np.full((8, 10), number, np.uint8)).save(tmp_path / kind / f"i{number:02}.png")
    return tmp_path


def make_store(folder: Path, ids: list[str]) -> str:
    """A store with maps for `ids`."""
    store = Store(folder)
    store.start()
    for image_id in ids:
        store.write(image_id, np.full((8, 10), 0.7, np.float32))
    images = {image_id: {} for image_id in ids}
    store.finish({"parameters": PARAMETERS, "images": images, "without_fixations": [], "failures": {}})
    return str(folder)


def plan(root: Path, needs: set[str], store: str | None = None, **options):
    """A plan with everything else as usual."""
    settings = {"parameters": PARAMETERS, "fraction": 1.0, "select_on": "auto", "seed": 0} | options
    return make_plan(partial(Folder), str(root), needs, store, **settings)


def test_full_supervision_opens_no_store(root: Path) -> None:
    made = plan(root, {"mask"}, store="nowhere")
    assert (made.store, made.select_on) == (None, "mask")
    assert sorted([*made.train, *made.val, *made.test]) == [f"i{number:02}" for number in range(12)]


def test_gaze_leaves_out_images_without_a_map_and_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = plan(root, {"mask"})
    store = make_store(root / "store", whole.train[1:])
    with caplog.at_level(logging.WARNING):
        made = plan(root, {"pseudo"}, store)
    assert made.train == whole.train[1:]
    assert made.without_fixations == [whole.train[0]]
    assert made.select_on == "mask"  # held-out images have masks
    assert f"1 images have no pseudo-mask and are left out: {whole.train[0]}" in caplog.text


def test_without_masks_gaze_is_scored_against_pseudo_masks_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mask in (root / "masks").iterdir():
        mask.unlink()
    (root / "masks").rmdir()
    store = make_store(root / "store", [f"i{number:02}" for number in range(12)])
    with caplog.at_level(logging.WARNING):
        assert plan(root, {"pseudo"}, store).select_on == "pseudo"
    assert "data.select_on=pseudo" in caplog.text


def test_a_fraction_is_drawn_by_seed_and_a_smaller_one_is_part_of_a_larger(root: Path) -> None:
    whole, half, quarter = (plan(root, {"mask"}, fraction=fraction).train for fraction in (1.0, 0.5, 0.25))
    assert set(quarter) < set(half) < set(whole)
    assert len(half) == round(len(whole) / 2)
    assert {tuple(plan(root, {"mask"}, fraction=0.5, seed=seed).train) for seed in range(5)} != {tuple(half)}


class ByPatient(Folder):
    def patient(self, name: str) -> str:
        return str(int(name[1:]) // 3)


def test_a_fraction_is_drawn_by_patient(root: Path) -> None:
    for split in ("val", "test"):
        (root / f"{split}.txt").write_text("")
    for seed in range(3):
        made = make_plan(ByPatient, str(root), {"mask"}, None, {}, 0.5, "mask", seed)
        patients = [made.dataset.patient(name) for name in made.train]
        assert [patients.count(patient) for patient in set(patients)] == [3, 3]


def test_one_image_under_two_names_in_two_splits_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train.txt").write_text("i00\ni01\ni02\ni03\n")
    (root / "val.txt").write_text("i04\n")
    (root / "test.txt").write_text("i05\ni06\n")
    for copy, original in (("i01", "i00"), ("i05", "i02")):  # the first pair stands in one split
        (root / "images" / f"{copy}.png").write_bytes((root / "images" / f"{original}.png").read_bytes())
    message = "1 image stands in two splits under different names: i02.png in train = i05.png in test"
    with pytest.raises(ValueError, match=f"{message}.*data.duplicates=warn"):
        plan(root, {"mask"}, duplicates="refuse")
    for choice, said in (("warn", True), ("ignore", False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert plan(root, {"mask"}, duplicates=choice).test == ["i05", "i06"]
        assert (message in caplog.text) == said


def test_a_plan_for_evaluation_checks_its_split_alone(root: Path) -> None:
    (root / "train.txt").write_text("gone\ni00\n")
    (root / "test.txt").write_text("i01\ni02\n")
    made = evaluation_plan(partial(Folder), str(root), "test", "auto", None, PARAMETERS)
    assert (made.test, made.train, made.select_on) == (["i01", "i02"], [], "mask")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"needs": {"pseudo"}, "store": None}, "store is not given"),
        ({}, {"needs": {"pseudo"}, "store": "STORE/none"}, "no manifest.json in .*run fovea-prepare"),
        ({}, {"needs": {"box"}}, "supervision trains on box, which this data set does not serve"),
        ({}, {"needs": {"mask"}, "fraction": 0.0}, "data.fraction=0.0"),
        ({}, {"needs": {"mask"}, "select_on": "gaze"}, "data.select_on=gaze is not a choice"),
        ({}, {"needs": {"mask"}, "duplicates": "no"}, "data.duplicates=no is not a choice"),
        (
            {},
            {"needs": {"pseudo"}, "store": "STORE", "parameters": {"labels.sigma": 50.0}},
            "labels.sigma is 50.0 here",
        ),
        ({"other": "store"}, {"needs": {"pseudo"}, "store": "STORE"}, "has a map of none of these"),
        ({"remove": "masks/i05.png"}, {"needs": {"mask"}}, "1 mask is missing from .*masks: i05"),
        ({"list": "train.txt"}, {"needs": {"mask"}}, "1 image is missing from .*images: nobody"),
    ],
)
def test_what_cannot_work_is_refused(root: Path, change: dict, options: dict, message: str) -> None:
    make_store(root / "STORE", ["unknown"] if "other" in change else [f"i{number:02}" for number in range(12)])
    if "remove" in change:
        (root / "train.txt").write_text("".join(f"i{number:02}\n" for number in range(12)))
        (root / change["remove"]).unlink()
    if "list" in change:
        (root / change["list"]).write_text("nobody\ni00\ni01\ni02\n")
    options = dict(options)
    needs, store = options.pop("needs"), options.pop("store", None)
    store = store.replace("STORE", str(root / "STORE")) if store else None
    with pytest.raises(ValueError, match=message) as caught:
        plan(root, needs, store, **options)
    assert "\n" not in str(caught.value)


def test_an_empty_split_or_an_unknown_one_is_refused(root: Path) -> None:
    (root / "train.txt").write_text("i00\ni01\n")
    for split, message in (("test", "has no test images"), ("tset", "split=tset is not a split")):
        with pytest.raises(ValueError, match=message):
            evaluation_plan(partial(Folder), str(root), split, "auto", None, PARAMETERS)
