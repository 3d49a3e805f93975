"""Published maps become a store that says where they come from."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.parameters import Crf, Parameters
from fovea.data.store import Store
from fovea.importers.maps import Maps
from fovea.importers.task import Task

SIZE = (40, 60)
HEATMAPS = Parameters(crf=Crf(backend="none"))


def ramp(shape: tuple[int, int] = SIZE) -> np.ndarray:
    return np.linspace(0, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images, the last for the test, with heatmaps as PNG and CRF maps as JPEG, as published."""
    root = tmp_path / "root"
    for part in ("images", "gaze/heatmap", "gaze/crf_compat1"):
        (root / part).mkdir(parents=True)
    for name in "abcdef":
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / "images" / f"{name}.jpg")
        Image.fromarray(ramp()).save(root / "gaze" / "heatmap" / f"{name}.png")
        Image.fromarray(ramp()).save(root / "gaze" / "crf_compat1" / f"{name}.jpg", quality=95)
    (root / "test.txt").write_text("f\n")
    return root


@pytest.fixture
def task(root: Path, tmp_path: Path) -> Task:
    return Task(root, tmp_path / "store", dataset=lambda: Folder(root), parameters=HEATMAPS)


IMPORT = Maps(["gaze", "."])


def test_a_png_keeps_its_values(task: Task) -> None:
    outcome = IMPORT(task)
    store = Store(task.out)
    store.check(HEATMAPS.flat())
    assert store.ids == list("abcdef")
    np.testing.assert_allclose(store.read("c"), ramp() / 255, atol=1 / 65535)
    assert outcome.lines == [f"6 maps in {task.out}"]
    assert not outcome.failures and not outcome.warnings


def test_the_manifest_says_where_each_map_comes_from(task: Task, root: Path) -> None:
    IMPORT(task)
    manifest = json.loads((task.out / "manifest.json").read_text())
    assert manifest["imported"] == {"format": "maps", "folder": "heatmap"}
    assert (
        manifest["images"]["a"]["source_sha256"]
        == hashlib.sha256((root / "gaze/heatmap/a.png").read_bytes()).hexdigest()
    )
    assert manifest["images"]["a"]["above_half"] == pytest.approx(0.5, abs=0.01)
    assert str(root) not in json.dumps(manifest)


def test_equal_folders_give_equal_bytes(task: Task, tmp_path: Path) -> None:
    IMPORT(task)
    IMPORT(replace(task, out=tmp_path / "again"))
    for file in ("manifest.json", "maps/a.png"):
        assert (task.out / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_the_parameters_choose_the_folder(task: Task) -> None:
    IMPORT(replace(task, parameters=Parameters()))
    assert Store(task.out).manifest["imported"]["folder"] == "crf_compat1"
    np.testing.assert_allclose(Store(task.out).read("a"), ramp() / 255, atol=0.05)


@pytest.mark.parametrize(
    ("source", "parameters", "message"),
    [
        ("gaze/heatmap", Parameters(), r"set refine=none"),
        ("gaze/crf_compat1", HEATMAPS, "went through a CRF"),
        ("gaze/crf_compat1", Parameters(crf=Crf(compat=3)), r"of another weight than refine\.compat=3"),
        (".", Parameters(crf=Crf(compat=3)), r"no folder crf_compat3 in it or in its gaze/"),
        ("nowhere", HEATMAPS, "no such folder"),
    ],
)
def test_a_folder_of_other_parameters_is_refused(
    task: Task, root: Path, source: str, parameters: Parameters, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        IMPORT(replace(task, source=root / source, parameters=parameters))
    assert not task.out.exists()


def test_a_folder_may_have_any_name(task: Task, root: Path) -> None:
    IMPORT(replace(task, source=(root / "gaze" / "heatmap").rename(root / "mine")))
    assert len(Store(task.out).ids) == 6


def test_missing_maps_are_reported_but_not_those_of_the_test_split(task: Task, root: Path) -> None:
    for name in "bf":
        (root / "gaze" / "heatmap" / f"{name}.png").unlink()
    outcome = IMPORT(task)
    assert outcome.failures == {"b": "no map of b in heatmap"}
    assert Store(task.out).ids == list("acde")
    assert Store(task.out).manifest["failures"] == outcome.failures


def test_bad_maps_do_not_stop_the_others(task: Task, root: Path) -> None:
    Image.fromarray(ramp((9, 8))).save(root / "gaze" / "heatmap" / "a.png")
    (root / "gaze" / "heatmap" / "b.png").write_bytes(b"no image")
    outcome = IMPORT(task)
    assert outcome.failures["a"] == "a.png is 8 x 9 pixels, but the image is 60 x 40"
    assert outcome.failures["b"].startswith("cannot decode b.png")
    assert Store(task.out).ids == list("cdef")


def test_no_good_map_leaves_no_store(task: Task, root: Path) -> None:
    for path in (root / "gaze" / "heatmap").iterdir():
        Image.fromarray(ramp((9, 8))).save(path)
    with pytest.raises(ValueError, match=r"none of 6 maps could be used; the first: a\.png is 8 x 9"):
        IMPORT(task)
    assert not (task.out / "manifest.json").exists()


def test_maps_of_no_image_are_left_out_with_a_word(task: Task, root: Path) -> None:
    Image.fromarray(ramp()).save(root / "gaze" / "heatmap" / "stray.png")
    assert IMPORT(task).warnings == ["1 maps belong to no image of data.root and are left out: stray"]
    assert "stray" not in Store(task.out).ids


def test_the_images_are_asked_for(task: Task) -> None:
    with pytest.raises(ValueError, match=r"data\.root is not given"):
        IMPORT(replace(task, dataset=None))


def test_a_store_of_other_parameters_is_not_overwritten(task: Task) -> None:
    IMPORT(task)
    with pytest.raises(ValueError, match=r"labels\.sigma is 50\.0 here but the store has 70\.0; name another store"):
        IMPORT(replace(task, parameters=replace(HEATMAPS, sigma=50.0)))
    Store(task.out).check(HEATMAPS.flat())
