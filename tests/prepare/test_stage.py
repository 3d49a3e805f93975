"""The prepare stage: the same store whatever the workers, whole or without a manifest."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fovea.data.fixations import Fixations, read_fixations, write_fixations
from fovea.data.images.folder import Folder
from fovea.data.parameters import Crf, Parameters
from fovea.data.store import Store
from fovea.prepare.job import make_map
from fovea.prepare.quality import drawn
from fovea.prepare.stage import Report, prepare
from fovea.report.quality_page import write_quality_page

SMALL = Parameters(sigma=6.0, canvas=64, crf=Crf(backend="none"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images a to d of different size with masks; fixations on all but d."""
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = []
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number, name in enumerate("abcd"):
        shape = (20 + number, 30)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
        cv2.imwrite(
            str(tmp_path / "masks" / f"{name}.png"),
            np.pad(np.full((8, 10), 255, np.uint8), ((6, 6 + number), (10, 10))),
        )
        points = rng.uniform(0.35, 0.65, (9, 2))
        rows += [(f"{name}.jpg", i, x, y, 40 + 20 * i, 0, 0, *shape) for i, (x, y) in enumerate(points)]
    write_fixations(tmp_path / "fixations.csv", [row for row in rows if row[0] != "d.jpg"])
    return tmp_path


def run(root: Path, store: str = "store", parameters: Parameters = SMALL, **options: object) -> Report:
    options = {"page": write_quality_page} | options
    return prepare(Folder(root), root / "fixations.csv", root / store, parameters, **options)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Interrupted(Folder):
    """Ctrl-C while image b is read."""

    def image(self, name: str) -> np.ndarray:
        if name == "b":
            raise KeyboardInterrupt
        return super().image(name)


def move(root: Path) -> None:
    """Other fixations."""
    table = root / "fixations.csv"
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    where = header.index("CURRENT_FIX_X")
    write_fixations(table, [[*row[:where], float(row[where]) * 0.5, *row[where + 1 :]] for row in rows])


def files_of_a_fresh_run(root: Path) -> dict[str, bytes]:
    run(root, "fresh")
    return files(root / "fresh")


def test_the_report_counts_what_was_done(root: Path) -> None:
    report = run(root)
    assert (report.done, report.failures, report.without_fixations, report.quality) == (3, {}, ["d"], None)
    assert report.table["too_short"] == 3


def test_the_store_holds_the_maps_that_make_map_makes(root: Path) -> None:
    run(root)
    fixations = read_fixations(root / "fixations.csv", ["b"]).of("b")
    _, expected = make_map(Folder(root).image("b"), fixations, SMALL)
    np.testing.assert_allclose(Store(root / "store").read("b"), expected, atol=1e-5)


def test_make_map_refines_the_heatmap() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    fixations = Fixations(np.array([0.5]), np.array([0.5]), np.array([100.0]))
    heat, refined = make_map(image, fixations, replace(SMALL, crf=Crf()))
    assert np.abs(heat - refined).max() > 0.01


def test_the_manifest_tells_of_every_image(root: Path) -> None:
    run(root)
    store = Store(root / "store")
    assert (store.ids, store.without_fixations) == (["a", "b", "c"], ["d"])
    assert store.manifest["images"]["a"]["fixations"] == 8 and store.manifest["images"]["a"]["dropped"] == 1


def test_the_store_passes_the_check_of_its_parameters(root: Path) -> None:
    run(root)
    assert Store(root / "store").differences(SMALL.flat()) == {}


def test_workers_and_repetition_change_no_byte(root: Path) -> None:
    run(root, "one", quality="masks")
    run(root, "two", quality="masks", workers=2)
    run(root, "one", quality="masks")
    assert files(root / "one") == files(root / "two")


def test_the_manifest_names_no_place(root: Path) -> None:
    (root / "images" / "b.png").write_bytes(b"broken")
    run(root)
    assert str(root) not in (root / "store" / "manifest.json").read_text()


def test_a_bad_image_does_not_stop_the_others(root: Path) -> None:
    path = root / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:100])
    report = run(root)
    assert report.done == 2 and "images/b.png" in report.failures["b"]
    assert Store(root / "store").manifest["failures"] == report.failures


def test_nothing_but_bad_images_is_an_error_and_leaves_no_manifest(root: Path) -> None:
    for path in (root / "images").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match="none of 3 maps could be made; the first: "):
        run(root)
    assert not (root / "store" / "manifest.json").exists()


def test_masks_are_not_opened_unless_asked_for(root: Path) -> None:
    for path in (root / "masks").iterdir():
        path.write_bytes(b"broken")
    assert run(root).done == 3


def test_quality_is_the_mean_of_the_table_beside_the_maps(root: Path) -> None:
    (root / "masks" / "a.png").unlink()
    report = run(root, quality="masks", thresholds=(0.5, 0.3))
    rows = {row.pop("id"): row for row in csv.DictReader((root / "store" / "quality.csv").open())}
    assert list(rows) == ["a", "b", "c"] and report.quality is not None and report.verdict is not None
    for key, mean in report.quality.items():
        assert np.mean([float(row[key]) for row in rows.values() if row[key]]) == pytest.approx(mean, abs=1e-6)
    assert rows["a"]["map@0.5"] == "" != rows["b"]["map@0.5"]
    assert report.verdict.headline[1:] in (root / "store" / "quality.html").read_text()


def test_no_more_masks_are_opened_than_asked_for(root: Path) -> None:
    [chosen] = drawn("abc", 1)
    for path in (root / "masks").iterdir():
        if path.stem != chosen:
            path.write_bytes(b"broken")
    report = run(root, quality="masks", quality_masks=1)
    assert report.failures == {} and report.verdict is not None and "from 1 mask" in report.verdict.reason


def test_quality_of_gaze_opens_no_mask(root: Path) -> None:
    for path in (root / "masks").iterdir():
        path.write_bytes(b"broken")
    report = run(root, quality="labels")
    assert report.failures == {} and report.verdict is not None and report.verdict.kind == "unknown"
    assert (root / "store" / "quality.html").exists()


def test_quality_of_other_maps_does_not_stay(root: Path) -> None:
    run(root, quality="masks")
    (root / "masks" / "a.png").unlink()
    run(root)
    assert (root / "store" / "quality.csv").is_file()  # the maps are the ones that it measured
    move(root)
    run(root)
    assert not list((root / "store").glob("quality.*"))


def test_maps_of_other_parameters_are_not_overwritten(root: Path) -> None:
    run(root)
    before = files(root / "store")
    with pytest.raises(ValueError, match=r"labels\.sigma is 7\.0 here but the store has 6\.0; name another store"):
        run(root, parameters=replace(SMALL, sigma=7.0))
    assert files(root / "store") == before


def test_an_image_that_is_gone_is_in_the_store_no_more(root: Path) -> None:
    run(root)
    (root / "images" / "c.png").unlink()
    run(root)
    assert Store(root / "store").ids == ["a", "b"]


def test_a_damaged_manifest_is_made_anew(root: Path) -> None:
    run(root)
    manifest = root / "store" / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:50])
    run(root, parameters=SMALL)
    assert manifest.read_bytes() == whole


def test_an_interrupted_run_leaves_no_manifest_and_is_gone_on_with(root: Path) -> None:
    run(root)
    whole = files(root / "store")
    move(root)
    with pytest.raises(KeyboardInterrupt):
        prepare(Interrupted(root), root / "fixations.csv", root / "store", SMALL)
    assert not (root / "store" / "manifest.json").exists()
    run(root)
    assert files(root / "store") == files_of_a_fresh_run(root) != whole


def test_only_what_is_missing_or_made_of_something_else_is_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def spied(image: np.ndarray, *rest: object) -> tuple[np.ndarray, np.ndarray]:
        made.append(len(image) - 20)  # a is 20 rows high, b 21, ...
        return make_map(image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("fovea.prepare.job.make_map", spied)
    run(root)
    run(root)
    assert made == [0, 1, 2]
    (root / "store" / "maps" / "a.png").unlink()
    half = root / "store" / "maps" / "b.png"
    half.write_bytes(half.read_bytes()[:-30])
    run(root)
    assert made[3:] == [0, 1]
    cv2.imwrite(str(root / "images" / "c.png"), np.zeros((22, 30, 3), np.uint8))
    run(root)
    assert made[5:] == [2]
    move(root)
    run(root)
    assert made[6:] == [0, 1, 2]
    shutil.rmtree(root / "store" / "maps")
    (root / "store" / "manifest.json").unlink()
    run(root, parameters=replace(SMALL, sigma=5.0))
    assert made[9:] == [0, 1, 2]


def test_shards_and_a_last_call_make_what_one_call_makes(root: Path) -> None:
    assert [run(root, shards=4, shard=shard).done for shard in range(4)] == [1, 1, 1, 0]
    assert len(list((root / "store" / "maps").iterdir())) == 3 and not (root / "store" / "manifest.json").exists()
    made = {path.name: path.stat().st_mtime_ns for path in (root / "store" / "maps").iterdir()}
    assert run(root).done == 3
    assert made == {path.name: path.stat().st_mtime_ns for path in (root / "store" / "maps").iterdir()}
    assert files(root / "store") == files_of_a_fresh_run(root)


def test_a_run_of_other_parameters_into_the_same_store_meanwhile_is_told(root: Path) -> None:
    class Disturbed(Folder):
        def image(self, name: str) -> np.ndarray:
            if name == "c":
                prepare(Folder(root), root / "fixations.csv", root / "store", replace(SMALL, sigma=5.0))
            return super().image(name)

    with pytest.raises(ValueError, match=r"another process wrote other maps there meanwhile \(a, b\)"):
        prepare(Disturbed(root), root / "fixations.csv", root / "store", SMALL)
    assert not (root / "store" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards: 0 is not possible"),
        ({"shards": 4, "shard": 4}, "with shards=4 set 0 to 3, or null"),
        ({"workers": 0}, r"workers: 0"),
        ({"workers": -2}, r"workers: -2"),
        ({"quality": "eyes"}, r"quality: 'eyes' is not offered; choose none or labels or masks"),
        ({"quality": "labels", "thresholds": ()}, r"quality: labels needs labels\.thresholds"),
        ({"quality": "masks", "quality_masks": 0}, r"quality_masks: 0"),
        ({"parameters": replace(SMALL, crf=Crf(backend="magic"))}, r"refine: 'magic'"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_written(root: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(root, **options)
    assert not (root / "store").exists()


def test_quality_without_a_single_mask_is_refused(root: Path) -> None:
    shutil.rmtree(root / "masks")
    with pytest.raises(ValueError, match=r"quality: no image of .* has a mask"):
        run(root, quality="masks")


def test_a_table_without_a_usable_fixation_is_refused(root: Path) -> None:
    write_fixations(root / "fixations.csv", [("a.jpg", 1, 0.5, 0.5, 10, 0, 0, 20, 30)])
    with pytest.raises(ValueError, match="0 of 1 fixations used on 0 images; dropped 1 too short"):
        run(root)


def test_a_store_that_cannot_be_written_is_one_line(root: Path) -> None:
    (root / "store").write_text("a file")
    with pytest.raises(ValueError, match="cannot write"):
        run(root)


def test_the_package_starts_without_heavy_libraries() -> None:
    heavy = ("torch", "pytorch_lightning", "albumentations", "hydra", "omegaconf", "pydensecrf", "jinja2")
    code = (
        f"import sys, json, fovea.prepare.stage, fovea.simulate.gaze; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
