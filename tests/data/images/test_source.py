"""Which images are trained on and scored, and what is refused before anything is loaded."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.source import Images
from fovea.data.maps import parameters
from fovea.data.store import Store
from fovea.engine.evaluation_settings import data_of
from fovea.runtime.files import sha256

IDS = [f"i{number:02}" for number in range(12)]
LABELS = {"name": "gaze", "sigma": 70.0, "canvas": 768, "min_duration": 50.0, "dose": 1.0, "path": None}
REFINE = {"name": "none"}
DATASET = {"_target_": "fovea.data.images.folder.Folder"}


def source(root: Path, store: Path | None = None, dataset: Any = None, **options: Any) -> Images:
    """Return images with the usual settings; options of the data set are in `dataset`."""
    settings: dict[str, Any] = {
        **{"name": "folder", "root": str(root), "dataset": DATASET | (dataset or {}), "channels": 3, "classes": 1},
        **{"size": 16, "batch_size": 2, "num_workers": 0, "drop_last": False, "fraction": 1.0, "select_on": "auto"},
        **{"select_threshold": 0.5, "normalize": {"_target_": "albumentations.Normalize"}, "augment": {}, "seed": 0},
        "maps": {"store": None if store is None else str(store), "labels": LABELS, "refine": REFINE},
    }
    return Images(**settings | options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images with masks."""
    for folder, scale in (("images", 1), ("masks", 255)):
        (tmp_path / folder).mkdir()
        for number, image_id in enumerate(IDS):
            value = min(number * scale, 255)
            Image.fromarray(np.full((8, 10), value, np.uint8)).save(tmp_path / folder / f"{image_id}.png")
    return tmp_path


def make_store(folder: Path, ids: list[str]) -> Path:
    store = Store(folder)
    store.start()
    for image_id in ids:
        store.write(image_id, np.full((8, 10), 0.7, np.float32))
    images = {image_id: {} for image_id in ids}
    store.finish({"parameters": parameters(LABELS, REFINE), "images": images, "unlabeled": [], "failures": {}})
    return folder


def remove_masks(root: Path) -> None:
    for mask in (root / "masks").iterdir():
        mask.unlink()
    (root / "masks").rmdir()


class TestTrain:
    def test_masks_need_no_store(self, root: Path) -> None:
        training = source(root, root / "nowhere").train({"mask"})
        assert training.val.select_on == "mask" and training.labels == {"masks": len(training.ids)}
        assert source(root, ignore_label=9).train({"mask"}).labels == {"partial_masks": len(training.ids)}
        assert sorted([*training.ids, *training.val.ids, *source(root).split("test").ids]) == IDS

    def test_images_without_a_map_are_left_out(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        whole = source(root).train({"mask"}).ids
        store = make_store(root / "store", whole[1:])
        with caplog.at_level(logging.WARNING):
            training = source(root, store).train({"pseudo"})
        assert training.ids == whole[1:] and training.val.select_on == "mask"
        assert f"1 images have no pseudo-mask and are left out: {whole[0]}" in caplog.text

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_maps_by_a_network_that_was_trained_on_val_or_test(
        self, split: str, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        splits, store = Folder(root).splits(), make_store(root / "store", IDS)
        manifest = json.loads((store / "manifest.json").read_text())
        for trained_on in (splits["train"], [*splits["train"], splits[split][0]]):
            assert "trained on patients" not in caplog.text
            (store / "manifest.json").write_text(json.dumps(manifest | {"trained_on": trained_on}))
            assert source(root, store).train({"pseudo"}).ids == trained_on
        count = len(splits[split])
        assert (
            f"refined by a network trained on patients of 1 of {count} {split} images ({splits[split][0]})"
            in caplog.text
        )

    def test_without_masks_pseudo_masks_are_scored(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        remove_masks(root)
        with caplog.at_level(logging.WARNING):
            training = source(root, make_store(root / "store", IDS)).train({"pseudo"})
        assert training.labels == {"gaze": len(training.ids)}
        assert training.val.select_on == "pseudo" and "data.select_on=pseudo" in caplog.text

    def test_a_smaller_fraction_is_part_of_a_larger(self, root: Path) -> None:
        whole, half, quarter = (source(root, fraction=f).train({"mask"}).ids for f in (1.0, 0.5, 0.25))
        assert set(quarter) < set(half) < set(whole) and len(half) == round(len(whole) / 2)
        draws = {tuple(source(root, fraction=0.5, seed=seed).train({"mask"}).ids) for seed in range(5)}
        assert draws != {tuple(half)}

    def test_a_fraction_is_drawn_by_patient(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Folder, "patient", lambda self, name: str(int(name[1:]) // 3))
        for split in ("val", "test"):
            (root / f"{split}.txt").write_text("")
        for seed in range(3):
            ids = source(root, fraction=0.5, seed=seed, select_on="mask").train({"mask"}).ids
            patients = [int(name[1:]) // 3 for name in ids]
            assert [patients.count(patient) for patient in set(patients)] == [3, 3]

    def test_equal_files_in_two_splits(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        (root / "train.txt").write_text("i00\ni01\ni02\ni03\n")
        (root / "val.txt").write_text("i04\n")
        (root / "test.txt").write_text("i05\ni06\n")
        for copy, original in (("i01", "i00"), ("i05", "i02")):  # the first pair is in one split
            (root / "images" / f"{copy}.png").write_bytes((root / "images" / f"{original}.png").read_bytes())
        message = "the same image file in two splits, 1 times: i02.png in train = i05.png in test"
        with pytest.raises(ValueError, match=f"{message}.*data.duplicates=warn"):
            source(root, duplicates="refuse").train({"mask"})
        for choice, logged in (("warn", True), ("ignore", False)):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                source(root, duplicates=choice).train({"mask"})
            assert (message in caplog.text) == logged

    @pytest.mark.parametrize(
        ("change", "needs", "options", "message"),
        [
            (None, {"pseudo"}, {"store": None}, "store is not given"),
            (
                None,
                {"pseudo"},
                {"store": "none"},
                "no manifest.json in .*/none, which fovea-prepare writes last: run fovea-prepare",
            ),
            (None, {"box"}, {}, "supervision trains on box, which data=folder does not have"),
            (None, {"pseudo"}, {"labels": LABELS | {"sigma": 50.0}}, "labels.sigma is 50 here"),
            (None, {"mask", "unlabeled"}, {}, "no unlabeled images"),
            ("other store", {"pseudo"}, {}, "a map of none of these"),
            ("masks/i05.png", {"mask"}, {}, "1 mask is missing from .*masks: i05"),
            ("train.txt", {"mask"}, {}, "1 image is missing from .*images: nobody"),
        ],
    )
    def test_refused(self, root: Path, change: str | None, needs: set[str], options: dict, message: str) -> None:
        store: Path | None = make_store(root / "store", ["unknown"] if change == "other store" else IDS)
        if change == "masks/i05.png":
            (root / "train.txt").write_text("\n".join(IDS))
            (root / change).unlink()
        if change == "train.txt":
            (root / change).write_text("nobody\ni00\ni01\ni02\n")
        if "store" in options:
            store = options["store"] and root / options["store"]
        made = source(root, store)
        made.maps = dict(made.maps or {}) | {"labels": options.get("labels", LABELS)}
        with pytest.raises(ValueError, match=message) as caught:
            made.train(needs)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("key", "name"), [("checkpoint", "run"), ("weights", "run/checkpoints/best.ckpt")])
    def test_maps_by_other_weights_are_refused(self, root: Path, key: str, name: str) -> None:
        file = root / "run" / "checkpoints" / "best.ckpt"
        file.parent.mkdir(parents=True)
        file.write_text("first")
        refine = {"name": "model", key: str(root / name)}
        store, images = Store(make_store(root / "store", IDS)), {image_id: {} for image_id in IDS}
        manifest = {"parameters": parameters(LABELS, refine), "images": images, "unlabeled": [], "failures": {}}
        store.finish(manifest | {"weights": sha256(file)})
        made = source(root, store.path, maps={"store": str(store.path), "labels": LABELS, "refine": refine})
        made.train({"pseudo"})
        file.write_text("second")
        with pytest.raises(ValueError, match=r"has other weights than when its .*, or run fovea-prepare .*/store$"):
            made.train({"pseudo"})
        file.unlink()  # a store is used without them, too
        made.train({"pseudo"})

    def test_keys_of_another_place_are_refused(self, root: Path) -> None:
        with pytest.raises(ValueError, match=r"^data\.augment\.spatial is for volumes; choose augmentation=flips"):
            source(root, augment={"spatial": {}}).train({"mask"})
        with pytest.raises(ValueError, match=r"^data\.dataset\.classes would be ignored; set data\.classes$"):
            source(root, dataset={"classes": 2}).train({"mask"})


class TestStreams:
    NEEDS = frozenset({"mask", "unlabeled"})

    def streams(self, made: Images) -> dict[str, list[str]]:
        """Return the ids by stream, after a look at what a sample of each has."""
        ids = {}
        for stream, samples in made.train(self.NEEDS).streams().items():
            keys = {"image", "index", "id"} | ({"mask"} if stream == "labeled" else set())
            assert {*samples[0, 0]} == keys
            ids[stream] = [samples[0, index]["id"] for index in range(len(samples))]
        return ids

    def test_a_list(self, root: Path) -> None:
        (root / "unlabeled.txt").write_text("i00\ni01\n")
        for name in ("i00", "i01"):
            (root / "masks" / f"{name}.png").unlink()
        streams = self.streams(source(root))
        assert streams["unlabeled"] == ["i00", "i01"] and {*streams} == {"labeled", "unlabeled"}
        assert not {*streams["labeled"]} & {*streams["unlabeled"]}
        assert source(root).train({"mask"}).ids == streams["labeled"]

    def test_a_labeled_fraction_is_drawn_by_patient(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Folder, "patient", lambda self, name: str(int(name[1:]) // 3))
        for split in ("val", "test"):
            (root / f"{split}.txt").write_text("")
        streams = self.streams(source(root, labeled_fraction=0.5))
        assert sorted([*streams["labeled"], *streams["unlabeled"]]) == IDS
        assert {int(name[1:]) // 3 for name in streams["labeled"]}.isdisjoint(
            int(name[1:]) // 3 for name in streams["unlabeled"]
        )
        fewer = self.streams(source(root, labeled_fraction=0.25))
        assert {*fewer["labeled"]} < {*streams["labeled"]} and len(fewer["labeled"]) == 3

    @pytest.mark.parametrize("kept", ["labeled", "unlabeled"])
    def test_a_fraction_of_one_patient_is_refused(self, root: Path, kept: str) -> None:
        (root / "val.txt").write_text("")
        if kept == "labeled":
            (root / "patients.csv").write_text("IMAGE,patient\n" + "".join(f"{name},p\n" for name in IDS))
        else:
            (root / "unlabeled.txt").write_text("i00\n")
        with pytest.raises(
            ValueError, match=rf"data\.fraction=0\.5 .* leave no {kept} image, since patients stay whole"
        ):
            source(root, fraction=0.5).train({"mask"} if kept == "labeled" else self.NEEDS)

    def test_masks_of_the_unlabeled_are_not_needed(self, root: Path) -> None:
        labeled = source(root, labeled_fraction=0.3, select_on="mask").train({"mask"}).ids
        val = source(root).split("val").ids
        for name in {*IDS} - {*labeled, *val}:
            (root / "masks" / f"{name}.png").unlink()
        training = source(root, labeled_fraction=0.3).train(self.NEEDS)
        assert training.labels == {"masks": len(labeled)}
        assert {*labeled} < {*training.ids} and "unlabeled images" in training.description
        assert training.digest != source(root, labeled_fraction=0.3).train({"mask"}).digest


class TestSplit:
    def test_only_this_split_is_checked(self, root: Path) -> None:
        (root / "train.txt").write_text("gone\ni00\n")
        for split, message in (("test", "has no test images"), ("tset", "split=tset is not a split")):
            with pytest.raises(ValueError, match=message):
                source(root).split(split)
        (root / "test.txt").write_text("i01\ni02\n")
        split = source(root).split("test")
        assert (split.name, split.ids, split.select_on) == ("test", ["i01", "i02"], "mask")

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_a_damaged_mask_is_refused(self, root: Path, split: str) -> None:
        lists = {"train": IDS[:8], "val": IDS[8:10], "test": IDS[10:]}
        for name, ids in lists.items():
            (root / f"{name}.txt").write_text("\n".join(ids))
        mask = root / "masks" / f"{lists[split][1]}.png"
        mask.write_bytes(mask.read_bytes()[:50])
        with pytest.raises(ValueError, match=mask.name):
            source(root).split(split)
        if split == "val":
            with pytest.raises(ValueError, match=mask.name):
                source(root).train({"mask"})

    def test_a_damaged_map_is_refused_and_a_map_scores_one_class_only(self, root: Path) -> None:
        val = source(root).train({"mask"}).val.ids
        store = make_store(root / "store", IDS)
        with pytest.raises(ValueError, match=r"data\.select_on=pseudo: a map has one class, but data\.classes=3"):
            source(root, store, classes=3, select_on="pseudo").split("val")
        (store / "maps" / f"{val[0]}.png").write_bytes(b"")
        with pytest.raises(ValueError, match=f"{val[0]}.png"):
            source(root, store, select_on="pseudo").train({"mask"})


def test_a_sheet_without_fixations_or_maps_says_so_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(root / "store", IDS)
    maps = {"store": str(store), "labels": {**LABELS, "path": "old/fixations.csv"}, "refine": REFINE}
    panels = source(root, maps=maps).split("test").panels
    for _ in range(2):
        panels({"id": IDS[0], "target": torch.zeros(8, 10)}, {"prediction": np.zeros((8, 10), np.int64)})
    assert caplog.text.count("old/fixations.csv") == 1
    maps |= {"labels": LABELS | {"sigma": 31.0}}
    assert source(root, maps=maps).split("val").panels.store is None
    assert "the contact sheet shows no maps: " in caplog.text and "labels.sigma is 31 here" in caplog.text


def test_labels_follow_a_moved_root(tmp_path: Path) -> None:
    labels = {"path": "/old/a/gaze.csv", "sigma": 70}
    maps = {"store": "s", "labels": labels, "refine": {}}
    trained = {"_target_": f"{Images.__module__}.Images", "root": "/old/a", "maps": maps, "gaze": {"path": "/x.csv"}}
    moved = data_of({"root": "/new"}, trained, tmp_path)
    assert (moved["maps"]["labels"]["path"], moved["gaze"]["path"]) == ("/new/gaze.csv", "/x.csv")
    given = {"root": "/new", "maps": {"labels": {"path": "/old/a/gaze.csv"}}}
    assert data_of(given, trained, tmp_path)["maps"]["labels"]["path"] == "/old/a/gaze.csv"
    assert labels["path"] == "/old/a/gaze.csv"
