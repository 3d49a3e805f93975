"""The prepare stage: the same store for any number of workers, complete or without a manifest."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fovea.data.fixations import COLUMNS
from fovea.data.images.folder import Folder
from fovea.data.maps import parameters
from fovea.data.store import Store
from fovea.prepare.labels.boxes import Boxes
from fovea.prepare.labels.gaze import Gaze
from fovea.prepare.labels.scribbles import Scribbles
from fovea.prepare.quality import drawn
from fovea.prepare.refiners.promptable.refine import Promptable, agreement
from fovea.prepare.refiners.unrefined import Unrefined
from fovea.prepare.stage import prepare
from fovea.prepare.verdict import Survey
from fovea.report.quality_page import write_quality_page
from fovea.runtime.bounds import check
from fovea.runtime.files import write_csv


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images a to d of different sizes with masks; fixations on all except d."""
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = []
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate("abcd"):
        shape = (20 + number, 30)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
        mask = np.pad(np.full((8, 10), 255, np.uint8), ((6, 6 + number), (10, 10)))
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), mask)
        points = rng.uniform(0.35, 0.65, (9, 2))
        rows += [(f"{name}.jpg", i, x, y, 40 + 20 * i, 0, 0, *shape) for i, (x, y) in enumerate(points)]
    write_csv(tmp_path / "fixations.csv", COLUMNS, [row for row in rows if row[0] != "d.jpg"])
    return tmp_path


def gaze(root: Path, sigma: float = 6.0) -> Gaze:
    return Gaze(str(root / "fixations.csv"), sigma, canvas=64, min_duration=50.0, dose=1.0)


def described(label: Gaze) -> dict[str, Any]:
    return parameters({"name": "gaze", **asdict(label)}, {"name": "none"})


def run(root: Path, store: str = "store", dataset: Any = None, sigma: float = 6.0, **options: Any) -> Survey:
    label = gaze(root, sigma)
    options = {"thresholds": (0.5, 0.3), "page": write_quality_page, "refiner": Unrefined()} | options
    where = (dataset or Folder(root, test_fraction=0.0), label, options.pop("refiner"), root / store)
    return prepare(*where, described(label), **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fresh(root: Path) -> dict[str, bytes]:
    run(root, "fresh")
    return files(root / "fresh")


def damage(folder: Path, but: str = "") -> None:
    for path in folder.iterdir():
        if path.stem != but:
            path.write_bytes(b"broken")


def move(root: Path) -> None:
    """Write other fixations."""
    table = root / "fixations.csv"
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    x = header.index("CURRENT_FIX_X")
    write_csv(table, COLUMNS, [[*row[:x], float(row[x]) * 0.5, *row[x + 1 :]] for row in rows])


def blacken(path: Path) -> None:
    """Replace an image by a black one of the same size."""
    cv2.imwrite(str(path), np.zeros_like(cv2.imread(str(path))))


class Half:
    """A refiner that halves the map and counts its calls by image height."""

    def __init__(self) -> None:
        self.heights: list[int] = []

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        assert image.shape == (*probability.shape, 3)
        self.heights.append(len(image) - 20)
        return probability / 2


class TestStore:
    def test_observers_are_drawn_apart_and_compared(self, root: Path) -> None:
        header, *rows = (root / "fixations.csv").read_text().splitlines()
        far = [row.split(",") for row in rows if row.startswith("a.jpg")]
        far = [",".join([*row[:2], "0.05", "0.05", *row[4:], "Bo"]) for row in far]
        (root / "fixations.csv").write_text("\n".join([f"{header},observer", *(f"{row},Al" for row in rows), *far]))
        survey, label = run(root, quality="labels"), gaze(root)
        table = label.read(["a", "b"])
        al, bo = table.of("a").by_observer()
        expected = (label.draw(al, (20, 30)) + label.draw(bo, (20, 30))) / 2
        np.testing.assert_allclose(Store(root / "store").read("a"), expected, atol=1e-5)
        assert survey.rows["a"]["between_observers"] == 0 and "between_observers" not in survey.rows["b"]
        assert survey.statistics["a"]["observers"] == 2
        assert "between observers" in (root / "store/quality.html").read_text()

    def test_disagreement_of_prompts_is_reported(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        both = lambda image, probability: agreement(np.stack([probability, probability**2]), 0.1)  # noqa: E731
        monkeypatch.setattr(Promptable, "__call__", lambda self, *pair: both(*pair))
        monkeypatch.setattr("fovea.prepare.refiners.promptable.refine.find_spec", lambda name: True)
        (weights := root / "weights.pth").write_bytes(b"")  # never read, but its hash is in the manifest
        refiner = Promptable(Unrefined(), [], str(weights), "lite_medsam", "cpu", "float32", 0.1)
        row, label = run(root, refiner=refiner, quality="labels").rows["a"], gaze(root)
        drawn = label.draw(label.read(["a"]).of("a"), (20, 30))
        differ = 1 - np.sum(drawn**2 >= 0.5) / np.sum(drawn >= 0.5)
        assert differ > 0 and row["prompt_disagreement"] == pytest.approx(differ)
        assert "prompts differ" in (root / "store/quality.html").read_text()

    def test_map_is_drawn_then_refined(self, root: Path) -> None:
        run(root, refiner=Half())
        label = gaze(root)
        expected = label.draw(label.read(["b"]).of("b"), (21, 30)) / 2
        np.testing.assert_allclose(Store(root / "store").read("b"), expected, atol=1e-5)

    def test_manifest(self, root: Path) -> None:
        damage(root / "masks")  # which stay closed
        assert len(run(root).statistics) == 3
        path = root / "store" / "manifest.json"
        manifest, complete = Store(root / "store").manifest, path.read_bytes()
        assert (sorted(manifest["images"]), manifest["unlabeled"]) == (["a", "b", "c"], ["d"])
        assert manifest["images"]["a"]["fixations"] == 8 and manifest["images"]["a"]["dropped"] == 1
        assert Store(root / "store").differences(described(gaze(root))) == []
        path.write_bytes(complete[:50])
        run(root)
        assert path.read_bytes() == complete
        (root / "test.txt").write_text("d")  # needs no label
        survey = run(root, quality="labels")
        assert (survey.empty, survey.images) == ([], 3)
        assert Store(root / "store").manifest["unlabeled"] == ["d"]
        refiner = Half()
        refiner.trained_on = ["d"]  # type: ignore[attr-defined]
        run(root, "refined", refiner=refiner)
        assert Store(root / "refined").manifest["trained_on"] == ["d"] and "trained_on" not in manifest


class TestOtherLabels:
    def boxes(self, root: Path, elsewhere: Path) -> Survey:
        """One box an image; that of b is outside it."""
        rows = ["a.png,9,5,21,15", "b.png,9,5,99,15", "c.png,9,5,21,15"]
        (elsewhere / "boxes.csv").write_text("\n".join(["IMAGE,x0,y0,x1,y1", *rows]))
        label = Boxes(str(elsewhere / "boxes.csv"), "pixels", 0.6, 0.4)
        options: dict[str, Any] = {"thresholds": (0.5,), "quality": "masks", "page": write_quality_page}
        return prepare(Folder(root, test_fraction=0.0), label, Half(), root / "store", {"labels": "boxes"}, **options)

    def test_quality_has_what_is_known_of_any_label(self, root: Path, tmp_path_factory: Any) -> None:
        survey = self.boxes(root, tmp_path_factory.mktemp("labels"))
        assert list(survey.failures) == ["b"] and survey.failures["b"].startswith("boxes.csv: line 3: 9, 5, 99, 15")
        assert Store(root / "store").ids == ["a", "c"]
        row, page = survey.rows["a"], (root / "store" / "quality.html").read_text()
        assert row["label@0.5"] > 0.8 and row["map@0.5"] < 0.2 and {"coverage", "agreement", "peak_inside"} <= {*row}
        assert not {"fixations", "dispersion", "inside"} & {*row}
        worse = "the refinement makes the maps worse: Dice of the map 0.000, of the label"
        assert str(survey.verdict()).startswith(worse)
        assert "Quality of labels" in page and not re.search("fixation|gaze|EyeLink</span>|heatmap", page)
        with pytest.raises(ValueError, match=r"labels\.path is not given"):
            prepare(Folder(root), Scribbles(None, 255), Unrefined(), root / "store", {})  # type: ignore[arg-type]

    def test_a_folder_of_labels_is_compared_by_its_files(self, root: Path) -> None:
        (root / "scribbles").mkdir()
        stroke = np.full((20, 30), 255, np.uint8)
        stroke[2:4], stroke[9:11, 12:18] = 0, 1
        cv2.imwrite(str(root / "scribbles" / "a.png"), stroke)
        label = Scribbles(str(root / "scribbles"), 255)
        where = (Folder(root, test_fraction=0.0), label, Unrefined(), root / "store", {"labels": "scribbles"})
        assert prepare(*where).counts["used"] == 1
        (root / "scribbles" / ".hidden").write_text("of a file manager")
        prepare(*where)
        Store(root / "store").check({"labels": "scribbles"}, label.path)
        stroke[0] = 0
        cv2.imwrite(str(root / "scribbles" / "a.png"), stroke)
        with pytest.raises(ValueError, match=r"its maps were made from another file than labels\.path=.*scribbles"):
            prepare(*where)
        with pytest.raises(ValueError, match=r"scribbles is not the file that its maps were made from"):
            Store(root / "store").check({"labels": "scribbles"}, label.path)


class TestFailures:
    def test_damaged_image_does_not_stop_others(self, root: Path) -> None:
        path = root / "images" / "b.png"
        path.write_bytes(path.read_bytes()[:100])
        survey = run(root)
        assert len(survey.statistics) == 2 and "images/b.png" in survey.failures["b"]
        assert Store(root / "store").manifest["failures"] == survey.failures
        assert str(root) not in (root / "store" / "manifest.json").read_text()

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda values: values[..., None], r"returns \[20, 30, 1\], not a map \[20, 30\], the size of the image"),
            (lambda values: values[:-1], r"returns \[19, 30\], not a map"),
            (lambda values: None, r"returns a NoneType, not a map"),
            (lambda values: values * 255, r"returns values from 0 to 2.+, not in \[0, 1\]"),
            (lambda values: values - 0.5, r"returns values from -0.5 to 0.4.*, not in \[0, 1\]"),
            (lambda values: values * np.nan, r"returns values from nan to nan, not in \[0, 1\]"),
        ],
    )
    def test_a_map_of_another_shape_or_range_is_refused_of_a_refiner_and_of_a_label(
        self, root: Path, wrong: Callable[[np.ndarray], Any], message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first: Callable[..., Any] = lambda image, values: wrong(values) if image.shape[0] == 20 else values  # noqa: E731
        assert re.match(rf"a: function {message}", run(root, refiner=first).failures["a"])
        draw = Gaze.draw
        monkeypatch.setattr(Gaze, "draw", lambda *given: wrong(draw(*given)))
        with pytest.raises(ValueError, match=rf"the first: a: Gaze\.draw {message}"):  # also where a refiner clips
            run(root, "other", refiner=lambda image, values: np.clip(values, 0, 1))

    def test_an_error_of_your_own_code_says_where(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOVEA_TRUSTED", __name__)
        with pytest.raises(ValueError, match=r"the first: operands could not be .*\(test_stage.py, line \d+\)$"):
            run(root, refiner=lambda image, values: np.zeros(2) + np.zeros(3))

    def test_classes_that_are_no_label_or_refiner_are_refused(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ValueError, match=r"^refine: object has no __call__; see docs/extending.md$"):
            run(root, refiner=object())
        monkeypatch.setattr(Gaze, "read", lambda self, ids: {"a": 1})
        with pytest.raises(ValueError, match=r"^labels: Gaze\.read returns a dict, not fovea.data.table.Annotations$"):
            run(root)
        monkeypatch.delattr(Gaze, "draw")
        with pytest.raises(ValueError, match=r"^labels: Gaze has no draw; see docs/extending.md$"):
            run(root)

    def test_nothing_usable(self, root: Path) -> None:
        for name in "abc":
            (root / "masks" / f"{name}.png").unlink()
        with pytest.raises(ValueError, match=r"quality=masks: no labeled image of .* has a mask"):
            run(root, quality="masks")
        damage(root / "images")
        with pytest.raises(ValueError, match="none of 3 maps could be made; the first: "):
            run(root)
        write_csv(root / "fixations.csv", COLUMNS, [("a.jpg", 1, 0.5, 0.5, 10, 0, 0, 20, 30)])
        with pytest.raises(
            ValueError, match=r"0 of 1 fixations used .*; dropped 1 too short; .* DURATION milliseconds$"
        ):
            run(root)
        assert not (root / "store" / "manifest.json").exists()


class TestQuality:
    def test_table_and_page(self, root: Path) -> None:
        (root / "masks" / "a.png").unlink()
        survey = run(root, quality="masks")
        rows = {row.pop("id"): row for row in csv.DictReader((root / "store" / "quality.csv").open())}
        assert list(rows) == ["a", "b", "c"] and rows["a"]["map@0.5"] == ""
        for image_id, row in rows.items():
            assert {key: float(cell) for key, cell in row.items() if cell} == pytest.approx(
                survey.rows[image_id], abs=1e-6
            )
        assert survey.verdict().headline[1:] in (root / "store" / "quality.html").read_text()

    def test_a_damaged_mask_leaves_its_map_usable_and_is_named(self, root: Path) -> None:
        damage(root / "masks", but="b")
        survey = run(root, quality="masks")
        assert (survey.masks, list(survey.statistics)) == (1, ["a", "b", "c"])
        assert "masks/a.png" in survey.damaged["a"] and list(survey.damaged) == ["a", "c"] and not survey.failures
        assert "masks/a.png" in (root / "store" / "quality.html").read_text()
        for name in "ac":
            (root / "masks" / f"{name}.png").unlink()
        assert run(root, "without", quality="masks").rows == survey.rows
        assert files(root / "without")["manifest.json"] == files(root / "store")["manifest.json"]

    def test_quality_masks_limits_opened_masks(self, root: Path) -> None:
        [chosen] = drawn("abc", 1)
        damage(root / "masks", but=chosen)
        survey = run(root, quality="masks", quality_masks=1)
        assert survey.failures == {} and "from 1 mask" in survey.verdict().reason

    def test_network_that_read_its_images_otherwise_is_named(
        self, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        refiner = Half()
        refiner.reading = [{"range": [0, 4095], "exif": "ignore"}]  # type: ignore[attr-defined]
        run(root, refiner=refiner)
        assert "a network was trained with data.range=[0, 4095], here it is None" in caplog.text
        assert "data.exif" not in caplog.text
        caplog.clear()
        run(root, "again", Folder(root, test_fraction=0.0, range=(0, 4095)), refiner=refiner)
        assert "a network was trained with" not in caplog.text

    def test_masks_of_test_are_named(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        (root / "test.txt").write_text("b\nd")
        run(root, quality="masks")
        assert "compares with 1 masks of test (b): a level that is chosen by them" in caplog.text

    def test_quality_of_old_maps_is_removed(self, root: Path) -> None:
        run(root, quality="masks")
        run(root)
        assert (root / "store" / "quality.csv").is_file()  # the maps are still the measured ones
        blacken(root / "images" / "c.png")
        run(root)
        assert not list((root / "store").glob("quality.*"))


class TestRestart:
    def test_other_parameters_are_refused(self, root: Path) -> None:
        run(root)
        before = files(root / "store")
        with pytest.raises(ValueError, match=r"labels\.sigma is 7 here but the store has 6; set store=.*store_"):
            run(root, sigma=7.0)
        assert files(root / "store") == before

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (move, r"its maps were made from another file than labels\.path=.*fixations\.csv; set store=.*store_"),
            (
                lambda root: [*map(blacken, (root / "images").iterdir())],
                r"its maps are of other images \(a, b and 1 more",
            ),
            (lambda root: [(root / "images" / f"{name}.png").unlink() for name in "ab"], r"of other images \(a, b\)"),
        ],
        ids=["labels", "images", "ids"],
    )
    def test_other_labels_or_images_are_refused(self, root: Path, change: Callable, message: str) -> None:
        run(root, quality="labels")
        before = files(root / "store")
        change(root)
        with pytest.raises(ValueError, match=message):
            run(root)
        assert files(root / "store") == before

    @pytest.mark.parametrize("name", ["manifest.json", "quality.csv", "maps/a.png"])
    def test_files_that_are_not_of_a_store_are_refused(self, root: Path, name: str) -> None:
        path = root / "store" / name
        path.parent.mkdir(parents=True)
        path.write_text('{"name": "mine"}')
        with pytest.raises(ValueError, match=rf"store: fovea did not write the {name} there; .*another store"):
            run(root, quality="labels")
        assert files(root / "store") == {name: b'{"name": "mine"}'}

    def test_a_store_without_the_hash_of_its_labels_is_continued(self, root: Path) -> None:
        run(root)
        path = root / "store" / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest["labels"]["sha256"]
        path.write_text(json.dumps(manifest))
        move(root)
        run(root)
        assert "sha256" in json.loads(path.read_text())["labels"]

    def test_resumes_after_interrupt(self, root: Path) -> None:
        class Interrupted(Folder):
            def image(self, name: str) -> np.ndarray:
                if name == "b":
                    raise KeyboardInterrupt
                return super().image(name)

        run(root)
        complete = files(root / "store")
        move(root)
        (root / "store" / "manifest.json").unlink()
        with pytest.raises(KeyboardInterrupt):
            run(root, dataset=Interrupted(root))
        assert not (root / "store" / "manifest.json").exists()
        run(root)
        assert files(root / "store") == fresh(root) != complete

    def test_makes_only_missing_and_changed_maps(self, root: Path) -> None:
        def made(**options: Any) -> list[int]:
            refiner = Half()
            run(root, refiner=refiner, **options)
            return refiner.heights

        assert made() == [0, 1, 2] and made() == []
        (root / "store" / "maps" / "a.png").unlink()
        truncated = root / "store" / "maps" / "b.png"
        truncated.write_bytes(truncated.read_bytes()[:-30])
        assert made() == [0, 1]
        blacken(root / "images" / "c.png")
        assert made() == [2]
        (root / "store" / "manifest.json").unlink()
        move(root)
        assert made() == [0, 1, 2]
        (root / "store" / "manifest.json").unlink()
        assert made(sigma=5.0) == [0, 1, 2]

    def test_maps_refined_on_colors_are_made_again_on_gray_values(self, root: Path) -> None:
        for channels in (3, 1):
            dataset = Folder(root, test_fraction=0.0, channels=channels)  # type: ignore[arg-type]
            run(root, dataset=dataset, refiner=lambda image, drawn: image[..., 0].astype(np.float32) / 255)
            np.testing.assert_allclose(Store(root / "store").read("a") * 255, dataset.image("a")[..., 0], atol=0.01)

    def test_shards_and_last_run_equal_one_run(self, root: Path) -> None:
        def times() -> dict[str, int]:
            return {path.name: path.stat().st_mtime_ns for path in (root / "store" / "maps").iterdir()}

        assert [len(run(root, shards=4, shard=shard).statistics) for shard in range(4)] == [1, 1, 1, 0]
        made = times()
        assert len(made) == 3 and not (root / "store" / "manifest.json").exists()
        run(root)
        assert times() == made
        assert files(root / "store") == fresh(root)

    def test_labels_that_change_during_a_run_are_noticed(self, root: Path) -> None:
        class Slow(Folder):
            def image(self, name: str) -> np.ndarray:
                if name == "c":
                    move(root)
                return super().image(name)

        run(root, dataset=Slow(root))
        with pytest.raises(ValueError, match=r"its maps were made from another file than labels\.path"):
            run(root)

    def test_other_run_in_same_store_is_noticed(self, root: Path) -> None:
        class Disturbed(Folder):
            def image(self, name: str) -> np.ndarray:
                if name == "c":
                    run(root, sigma=5.0)
                return super().image(name)

        with pytest.raises(ValueError, match=r"another process wrote other maps \(a, b\)"):
            run(root, dataset=Disturbed(root), quality="labels", page=None)
        assert [path.name for path in (root / "store").iterdir()] == ["maps"]  # no quality of a mixture either


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards must be at least 1, got 0"),
        ({"shards": 4, "shard": 4}, "shard must be below shards=4, got 4"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"quality": "eyes"}, "quality must be one of .*, got 'eyes'"),
        ({"quality": "labels", "thresholds": ()}, "thresholds must be a list of at least 1"),
        ({"thresholds": [0]}, r"thresholds\[0\] must be above 0, got 0"),
        ({"quality": "labels", "thresholds": ["otsu"]}, r"thresholds\[0\] must be a number, got 'otsu'"),
        ({"quality": "labels", "thresholds": [0.5, 1.5]}, r"thresholds\[1\] must be at most 1, got 1.5"),
        ({"quality": "masks", "quality_masks": True}, "quality_masks must be .*, got True"),
    ],
)
def test_refused_before_anything_is_written(root: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(prepare, options, "")
        run(root, **options)
    assert not (root / "store").exists()
