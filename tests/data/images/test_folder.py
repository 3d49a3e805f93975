"""A folder of images and masks, and the contract of all data sets of images: a new one is one row of `DATA_SETS`."""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.source import folder_of
from fovea.runtime.config import config_folder, instantiate, resolve

from .test_inputs import write_slice


def png(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path.with_name(f"{path.name}.png"))


def dicom(path: Path, pixels: np.ndarray) -> None:
    write_slice(path.with_name(f"{path.name}.dcm"), pixels[..., 0])


class Row(NamedTuple):
    """What the contract test must know of a data set."""

    patients: Mapping[str, str]
    """The patient ID of each image that is written."""
    write: Callable[[Path, np.ndarray], None] | None = png
    """Writes uint8 [H, W, 3] to a path without a suffix; None for a data set that draws its images."""
    overrides: tuple[str, ...] = ()


DATA_SETS = {  # choices of data=…
    "folder": Row({"a": "a", "b_1": "b_1"}),
    "kvasir": Row({"cju0qkwl35piu0993l0dewei2": "cju0qkwl35piu0993l0dewei2"}),
    "nci_isbi": Row({"p-01_1": "p-01", "p-01_2": "p-01", "q_1": "q"}, dicom),
    "synthetic": Row({"image_0000": "image_0000"}, None, ("data.dataset.images=10", "data.dataset.image_size=32")),
}


@cache
def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return resolve(compose("prepare", overrides=["data.root=DIR", "run_dir=RUN", *overrides]))["data"]


class TestDataSets:
    def test_all_choices_are_in_the_table(self) -> None:
        start = "dataset:\n  _target_: fovea.data.images."
        files = Path(config_folder(), "data").glob("*.yaml")
        assert {path.stem for path in files if start in path.read_text(encoding="utf-8")} == {*DATA_SETS}

    @pytest.fixture(params=DATA_SETS)
    def row(self, request: pytest.FixtureRequest) -> tuple[str, Row]:
        return request.param, DATA_SETS[request.param]

    @pytest.fixture
    def data(self, row: tuple[str, Row], tmp_path: Path) -> Folder:
        """The data set as its YAML builds it, with an image and a mask of 6 x 8 pixels for each id."""
        name, (patients, write, overrides) = row
        root = tmp_path / "root"
        config = composed(f"data={name}", *overrides)
        assert config["name"] == name
        labels = np.arange(48, dtype=np.uint8).reshape(6, 8) % max(config["classes"], 2)
        for folder in ("images", "masks") if write else ():
            (root / folder).mkdir(parents=True)
        for image_id in patients if write else ():
            write(root / "images" / image_id, np.stack(3 * [7 * labels], axis=-1))
            png(root / "masks" / image_id, labels)
        return folder_of(config)(root=root)

    def test_images_and_masks(self, row: tuple[str, Row], data: Folder) -> None:
        data.check(row[1].patients, masks=True)
        for image_id in row[1].patients:
            image, mask = data.image(image_id), data.mask(image_id)
            assert (image.dtype, image.shape) == (np.uint8, (*data.size(image_id), data.channels))
            assert (mask.dtype, mask.shape) == (np.uint8, image.shape[:2])
            assert np.unique(mask).tolist() == [*range(max(data.classes, 2))]

    def test_patients_are_in_one_split(self, row: tuple[str, Row], data: Folder) -> None:
        assert {image_id: data.patient(image_id) for image_id in row[1].patients} == row[1].patients
        patients = [{data.patient(image_id) for image_id in ids} for ids in data.splits().values()]
        assert patients and sum(map(len, patients)) == len(set.union(*patients))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty images of 6 x 8 pixels, the first ten with masks."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for index in range(20):
        image = np.full((6, 8, 3), index, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"i{index:02}.png")
        if index < 10:
            Image.fromarray(image[..., 0] // 9 * 255).save(tmp_path / "masks" / f"i{index:02}.png")
    return tmp_path


def write(root: Path, **lists: list[int]) -> None:
    for split, indices in lists.items():
        (root / f"{split}.txt").write_text("".join(f"i{index:02}\n" for index in indices))


def sizes(folder: Folder) -> tuple[int, ...]:
    return tuple(len(ids) for ids in folder.splits().values())


@pytest.mark.parametrize(
    ("lists", "clean", "published"),
    [
        ({"train": range(15), "val": [15], "test": [16, 17]}, (15, 1, 2), (15, 0, 2)),
        ({"train": range(10)}, (9, 1, 0), (10, 0, 0)),
        ({"train": range(10), "val": [10, 11]}, (10, 2, 0), (10, 0, 0)),
        ({"train": range(10), "val": []}, (10, 0, 0), (10, 0, 0)),
        ({"test": range(10)}, (9, 1, 10), (10, 0, 10)),
        ({}, (14, 2, 4), (16, 0, 4)),
    ],
)
def test_lists_decide_the_splits(
    root: Path, lists: dict[str, list[int]], clean: tuple[int, ...], published: tuple[int, ...]
) -> None:
    write(root, **lists)
    assert sizes(Folder(root)) == clean
    assert sizes(Folder(root, protocol="published")) == published


def test_missing_images_and_masks_are_named(root: Path) -> None:
    folder = Folder(root)
    assert folder.has_mask("i09") and not folder.has_mask("i10")
    with pytest.raises(ValueError, match=r"1 mask is missing from .*masks: i10"):
        folder.mask("i10")
    with pytest.raises(ValueError, match=r"10 masks are missing from .*masks: i10, i11, i12, i13, i14 and 5 more;"):
        folder.check([f"i{index:02}" for index in range(20)], masks=True)
    for name in ("nobody", "../i00", "i00.png"):
        with pytest.raises(ValueError, match="1 image is missing"):
            folder.image(name)
    write(root, train=[1, 98, 99])
    listed = Folder(root, val_fraction=0.0)
    with pytest.raises(ValueError, match=r"2 images are missing from .*images: i98, i99;"):
        listed.check(listed.splits()["train"], masks=False)
    Image.new("L", (6, 8)).save(root / "masks" / "i00.png")
    with pytest.raises(ValueError, match=r"masks/i00\.png is 6 x 8 pixels, but its image is 8 x 6"):
        folder.mask("i00")


def test_no_masks_are_needed_without_a_target(root: Path) -> None:
    for mask in (root / "masks").iterdir():
        mask.unlink()
    (root / "masks").rmdir()
    (root / "masks").touch()  # looking into it would fail
    folder = Folder(root)
    folder.check(chain(*folder.splits().values()), masks=False)
    assert folder.image("i00").shape == (6, 8, 3) and sorted(chain(*folder.splits().values())) == folder.ids


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"root": "nowhere/at/all"}, "data: no such folder nowhere/at/all"),
        ({"channels": 4}, "data.channels must be"),
        ({"classes": 0}, "data.classes must be at least 1"),
        ({"protocol": "dirty"}, "data.protocol must be one of 'clean' or 'published'"),
        ({"range": [0, float("inf")]}, r"data\.range\[1\] must be a finite number"),
        ({"fold": [2, 2]}, r"fold must be \[k, n\]"),
        ({"fold": [0]}, r"fold must be \[k, n\]"),
        ({"fold": "02"}, r"fold must be \[k, n\]"),
        ({"fold": [0.0, 2]}, r"fold must be \[k, n\]"),
        ({"fold": [0, 2], "protocol": "published"}, "folds need protocol=clean"),
    ],
)
def test_invalid_arguments(root: Path, arguments: dict[str, object], complaint: str) -> None:
    target = {"_target_": "fovea.data.images.folder.Folder", "_partial_": True}
    with pytest.raises(ValueError, match=complaint):
        instantiate(target | {"root": str(root)} | arguments, "data")()


def test_a_fold_is_part_of_the_train_and_val_images(root: Path) -> None:
    write(root, val=[0], test=[1])
    folds = [Folder(root, fold=[number, 2]).splits() for number in range(2)]
    pool = sorted(set(Folder(root).ids) - {"i01"})
    assert sorted(folds[0]["val"] + folds[1]["val"]) == pool
    assert folds[0]["train"] == folds[1]["val"] and folds[0]["test"] == ["i01"]


class TestUnlabeled:
    def test_the_list(self, root: Path) -> None:
        write(root, unlabeled=[0, 1])
        assert sizes(Folder(root)) == (13, 1, 4, 2)  # the draw of the others stays
        write(root, unlabeled=[0, 1], test=[2], val=[3])
        splits = Folder(root).splits()
        assert splits["unlabeled"] == ["i00", "i01"] and not {"i00", "i01"} & {*splits["train"]}
        write(root, unlabeled=[2])
        with pytest.raises(ValueError, match="both in train and in test: i02"):
            Folder(root).splits()

    def test_patients_drawn_for_val_or_test_are_left_out(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Folder, "patient", lambda self, name: name[-1])  # i00 and i10 share a patient
        write(root, train=[*range(10)], unlabeled=[*range(10, 20)])
        splits = Folder(root, fold=[0, 5]).splits()
        assert len(splits["unlabeled"]) == 8 and {name[-1] for name in splits["unlabeled"]} == {
            name[-1] for name in splits["train"]
        }
        (root / "train.txt").unlink()
        splits = Folder(root).splits()
        assert (len(splits["test"]), len(splits["val"]), len(splits["unlabeled"])) == (2, 1, 7)


class TestCommonSpacing:
    @pytest.mark.parametrize(
        ("ids", "expected"),
        [
            (["i01"], ({"i01": (0.5, 0.7)}, "mm")),
            (["i02"], ({"i02": (1.0, 1.0)}, "px")),
            (["i01", "i02"], ({"i01": (1.0, 1.0), "i02": (1.0, 1.0)}, "px")),
        ],
    )
    def test_unit(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ids: list, expected: tuple
    ) -> None:
        monkeypatch.setattr(Folder, "spacing", lambda self, name: (0.5, 0.7) if name == "i01" else None)
        assert Folder(root).common_spacing(ids) == expected
        assert ("1 images have no pixel spacing" in caplog.text) == (len(ids) == 2)


def test_file_names_become_ids(root: Path) -> None:
    names = ["#im04", "007", "a b", " lead", "im.v1", "im.v2", normalize("NFD", "größe"), "a:b", "'q'"]
    for name in names:
        shutil.copy(root / "images" / "i00.png", root / "images" / f"{name}.PNG")
    assert {*map(partial(normalize, "NFC"), names)} < {*Folder(root).ids}
    (root / "test.txt").write_text("\n".join(f"{name}.PNG" for name in names) + "\n", encoding="utf-8")
    splits = Folder(root).splits()
    assert splits["test"] == [*map(partial(normalize, "NFC"), names)] and not {*splits["test"]} & {*splits["train"]}
    (root / "test.txt").write_text("#i00x\n")
    with pytest.raises(ValueError, match=r"images: #i00x, the nearest are i00; add .* \(comments begin with '# '\)"):
        Folder(root).check(Folder(root).splits()["test"], masks=False)
    shutil.copy(root / "images" / "i00.png", root / "images" / "größe.png")
    with pytest.raises(ValueError, match="share the stem größe; rename"):
        _ = Folder(root).ids
    (root / "images" / "größe.png").rename(root / "images" / os.fsdecode(b"\xff.png"))
    with pytest.raises(ValueError, match=r"images: the file name b'\\xff\.png' is not UTF-8; rename"):
        _ = Folder(root).ids
    with pytest.raises(ValueError, match=r"no such folder .*/image, the nearest are images; set root"):
        Folder(root / "image")


class TestPatients:
    def test_the_table_names_them(self, root: Path) -> None:
        ids = Folder(root).ids
        (root / "patients.csv").write_text(
            "IMAGE,patient\n" + "".join(f"{name}.png,p{i // 2}\n" for i, name in enumerate(ids))
        )
        data = Folder(root, test_fraction=0, fold=[0, 2])
        assert [data.patient(name) for name in ids] == [f"p{i // 2}" for i in range(len(ids))]
        val = data.splits()["val"]
        assert 0 < len(val) < len(ids) and {ids[ids.index(name) ^ 1] for name in val} == {*val}

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda lines: lines[:-1], "patients.csv: no patient for 1 images"),
            (lambda lines: [*lines, lines[-1] + "x"], "a second one, for"),
            (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ","], "no patient, or"),
        ],
    )
    def test_invalid_tables(self, root: Path, change: Callable[[list[str]], list[str]], complaint: str) -> None:
        lines = ["IMAGE,patient", *(f"{name}.png,p" for name in Folder(root).ids)]
        (root / "patients.csv").write_text("\n".join(change(lines)))
        with pytest.raises(ValueError, match=complaint):
            Folder(root).splits()
