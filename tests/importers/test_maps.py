"""Import of published maps as a store."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.store import Store
from fovea.importers.maps import Maps
from fovea.importers.request import ImportRequest
from fovea.pictures.panels import map_panel

SIZE = (40, 60)
HEATMAPS = {"labels": "gaze", "labels.sigma": 70, "refine": "none"}
CRF = HEATMAPS | {"refine": "pydensecrf", "refine.compat": 1}
STRONG = CRF | {"refine.compat": 3}


def ramp(shape: tuple[int, int] = SIZE) -> np.ndarray:
    return np.linspace(0, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data root of six images (the last in `test`) with heatmaps as PNG and CRF maps as JPEG."""
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
def job(root: Path, tmp_path: Path) -> ImportRequest:
    return ImportRequest(root, tmp_path / "store", dataset=lambda: Folder(root), parameters=HEATMAPS)


IMPORT = Maps(["gaze", "."])


def test_png_keeps_its_values_and_names_its_source(job: ImportRequest, root: Path, tmp_path: Path) -> None:
    result = IMPORT(job)
    store = Store(job.out)
    store.check(HEATMAPS)
    assert store.ids == list("abcdef")
    np.testing.assert_allclose(store.read("c"), ramp() / 255, atol=1 / 65535)
    assert result.lines == [f"6 maps in {job.out}"]
    assert not result.failures and not result.warnings
    manifest = json.loads((job.out / "manifest.json").read_text())
    assert manifest["imported"] == {"format": "maps", "folder": "heatmap"}
    digest = hashlib.sha256((root / "gaze/heatmap/a.png").read_bytes()).hexdigest()
    assert manifest["images"]["a"]["source_sha256"] == digest
    assert manifest["images"]["a"]["above_half"] == pytest.approx(0.5, abs=0.01)
    assert str(root) not in json.dumps(manifest)
    (root / "gaze" / "heatmap").rename(root / "mine")  # a folder of any name
    Image.fromarray(ramp()).save(root / "mine" / "stray.png")
    again = IMPORT(replace(job, source=root / "mine", out=tmp_path / "again"))
    assert again.warnings == ["1 maps belong to no image of data.root and are left out: stray"]
    assert (job.out / "maps/a.png").read_bytes() == (tmp_path / "again/maps/a.png").read_bytes()
    assert json.loads((tmp_path / "again/manifest.json").read_text())["images"] == manifest["images"]


def test_refine_chooses_the_folder(job: ImportRequest) -> None:
    IMPORT(replace(job, parameters=CRF))
    assert Store(job.out).manifest["imported"]["folder"] == "crf_compat1"
    np.testing.assert_allclose(Store(job.out).read("a"), ramp() / 255, atol=0.05)


@pytest.mark.parametrize(
    ("source", "parameters", "message"),
    [
        ("gaze/heatmap", CRF, "but crf_compat1 are; set those of this folder"),
        ("gaze/crf_compat1", HEATMAPS, "but heatmap are; set those of this folder"),
        ("gaze/crf_compat1", STRONG, r"not the maps of refine=pydensecrf refine\.compat=3, but"),
        (".", STRONG, r"there is no crf_compat3 in it or in its gaze/"),
        ("nowhere", HEATMAPS, "nowhere does not exist"),
    ],
)
def test_refuses_other_parameters(job: ImportRequest, root: Path, source: str, parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IMPORT(replace(job, source=root / source, parameters=parameters))
    assert not job.out.exists()


def test_missing_maps_of_train_and_val_are_failures(job: ImportRequest, root: Path) -> None:
    for name in "bf":
        (root / "gaze" / "heatmap" / f"{name}.png").unlink()
    result = IMPORT(job)
    assert result.failures == {"b": "no map of b in heatmap"}
    assert Store(job.out).ids == list("acde")
    assert Store(job.out).manifest["failures"] == result.failures


def test_damaged_maps_are_failures(job: ImportRequest, root: Path) -> None:
    small = ramp((9, 8))
    Image.fromarray(small).save(root / "gaze" / "heatmap" / "a.png")
    (root / "gaze" / "heatmap" / "b.png").write_bytes(b"no image")
    Image.fromarray(map_panel(ramp() / 255)).save(root / "gaze" / "heatmap" / "c.png")
    Image.fromarray(ramp().astype(np.uint16)).save(root / "gaze" / "heatmap" / "d.png")
    Image.fromarray((ramp() > 99).astype(np.uint8)).save(root / "gaze" / "heatmap" / "e.png")
    result = IMPORT(job)
    assert result.failures["e"] == "e.png has only the values 0 and 1; save the map in gray, from 0 to 255"
    assert result.failures["d"] == "d.png: more than 8 bits per channel (I;16); save the map with 8 bits, from 0 to 255"
    assert result.failures["c"] == "c.png has colors; save the map in gray, from 0 to 255"
    assert result.failures["a"] == "a.png is 8 x 9 pixels, but the image is 60 x 40"
    assert result.failures["b"].startswith("cannot decode b.png")
    assert Store(job.out).ids == list("f")
    for path in (root / "gaze" / "heatmap").iterdir():
        Image.fromarray(small).save(path)
    other = replace(job, out=job.out.with_name("other"))
    with pytest.raises(ValueError, match=r"none of 6 maps can be used; the first: a\.png is 8 x 9"):
        IMPORT(other)
    assert not (other.out / "manifest.json").exists()
    with pytest.raises(ValueError, match=r"data\.root is not set"):
        IMPORT(replace(other, dataset=None))


def test_a_map_with_transparency_is_a_failure(job: ImportRequest, root: Path) -> None:
    gray, folder = Image.fromarray(ramp()), root / "gaze" / "heatmap"
    hidden = Image.new("L", gray.size)
    hidden.putalpha(gray)
    hidden.save(folder / "a.png")
    gray.save(folder / "b.png", transparency=7)
    gray.convert("RGBA").save(folder / "c.png")  # opaque
    result = IMPORT(job)
    assert result.failures == {
        name: f"{name}.png has transparency; save the map in gray, from 0 to 255" for name in "ab"
    }
    np.testing.assert_allclose(Store(job.out).read("c"), ramp() / 255, atol=1 / 65535)


def test_keeps_a_store_of_other_parameters(job: ImportRequest) -> None:
    IMPORT(job)
    with pytest.raises(ValueError, match=r"labels\.sigma is 50 here but the store has 70; set store="):
        IMPORT(replace(job, parameters=HEATMAPS | {"labels.sigma": 50}))
    Store(job.out).check(HEATMAPS)
