"""The contract of all kinds of labels, built from their YAML. A new kind is one row of `LABELS`."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from fovea.data import maps
from fovea.data.table import Annotations
from fovea.prepare.labels.label import Label
from fovea.prepare.labels.rows import by_image, from_csv
from fovea.runtime.config import config_folder, resolve

SIZE = (40, 60)
GAZE = "IMAGE,CURRENT_FIX_INDEX,CURRENT_FIX_X,CURRENT_FIX_Y,CURRENT_FIX_DURATION\n"
STROKES = np.full(SIZE, 255, np.uint8)
STROKES[10:14], STROKES[20:24] = 0, 1


def text(content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "labels.csv").write_text(content)
        return folder / "labels.csv"

    return write


def scribbles(pictures: Mapping[str, np.ndarray]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "scribbles").mkdir(exist_ok=True)
        for name, picture in pictures.items():
            cv2.imwrite(str(folder / "scribbles" / name), picture)
        return folder / "scribbles"

    return write


# By choice of labels=…: one annotation of the images a and zz, of zz only, and none.
Written = tuple[Callable[[Path], Path], Callable[[Path], Path], Callable[[Path], Path]]
LABELS: dict[str, Written] = {
    "boxes": (
        text("IMAGE,x0,y0,x1,y1\na.png,10,5,30,20\nzz.png,1,2,3,4\n"),
        text("IMAGE,x0,y0,x1,y1\nzz.png,1,2,3,4\n"),
        text("IMAGE,x0,y0,x1,y1\n"),
    ),
    "gaze": (
        text(f"{GAZE}a.png,1,0.5,0.5,200\nzz.png,1,0.5,0.5,200\n"),
        text(f"{GAZE}zz.png,1,0.5,0.5,200\n"),
        text(GAZE),
    ),
    "points": (
        text("IMAGE,x,y,class\na.png,30,20,1\nzz.png,30,20,1\n"),
        text("IMAGE,x,y,class\nzz.png,30,20,1\n"),
        text("IMAGE,x,y,class\n"),
    ),
    "scribbles": (
        scribbles({"a.png": STROKES, "zz.png": STROKES}),
        scribbles({"zz.png": STROKES}),
        scribbles({}),
    ),
}


@cache
def group(name: str) -> dict[str, Any]:
    """Return what the YAML of a kind of label says."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("prepare", overrides=["data=folder", f"labels={name}", "data.root=DIR", "run_dir=RUN"])
    composed = resolve(config)["labels"]
    assert composed["name"] == name and composed["thresholds"] and composed["folder"]
    return composed


def built(name: str, path: Path, **numbers: Any) -> Label:
    """Return the kind of label of a YAML, with some numbers changed."""
    label: Label = maps.built(group(name) | {"path": str(path), **numbers}, "labels")
    return label


def test_all_choices_are_in_the_table() -> None:
    assert sorted(path.stem for path in Path(config_folder(), "labels").glob("*.yaml")) == sorted(LABELS)


@pytest.mark.parametrize("name", LABELS)
def test_reads_draws_and_counts(name: str, tmp_path: Path) -> None:
    label = built(name, LABELS[name][0](tmp_path))
    annotations = label.read(["a", "b"])
    assert (len(annotations.of("a")), len(annotations.of("b"))) == (1, 0)
    counts = annotations.summary()
    assert (counts["rows"], counts["used"], counts["images"], counts["unknown_image"]) == (2, 1, 1, 1)
    assert str(annotations).startswith("1 of 2 ") and isinstance(annotations.of("a").statistics(), dict)
    drawn = label.draw(annotations.of("a"), SIZE)
    assert (drawn.dtype, drawn.shape) == (np.float32, SIZE)
    assert 0 <= drawn.min() < 0.5 < drawn.max() <= 1


def test_a_label_of_yours_sets_its_path(tmp_path: Path) -> None:
    """As docs/extending.md shows it, with the path of the configuration, a text."""

    class Circles(Label):
        def __init__(self, path: str) -> None:
            self.path = path

        def read(self, ids: Iterable[str]) -> Annotations:
            return by_image(self.path, from_csv(self.path, ("IMAGE", "x", "y", "r")), ids, "circles")

    path = text("IMAGE,x,y,r\na.png,30,20,5\n")(tmp_path)
    assert Circles(str(path)).read(["a"]).of("a").values.tolist() == [[30, 20, 5]]


@pytest.mark.parametrize("name", LABELS)
def test_equal_files_give_equal_bytes(name: str, tmp_path: Path) -> None:
    first, again = (built(name, LABELS[name][0](tmp_path)).read(["a"]).of("a") for _ in range(2))
    assert first.tobytes() == again.tobytes() != b""


@pytest.mark.parametrize("name", LABELS)
def test_files_without_a_label_are_refused(name: str, tmp_path: Path) -> None:
    for write, message in zip(LABELS[name][1:], ("belongs to an image", "no "), strict=True):
        path = write(tmp_path)
        with pytest.raises(ValueError, match=rf"{path.name}: .*{message}"):
            built(name, path).read(["a"])
        shutil.rmtree(path, ignore_errors=True)
    with pytest.raises(ValueError, match=r"cannot read .*missing: no such .*; set labels\.path"):
        built(name, tmp_path / "missing").read(["a"])


def coco(box: list[float], width: int = 60) -> str:
    image = {"id": 7, "file_name": "set/a.jpg", "width": width, "height": 40}
    return json.dumps({"images": [image], "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": box}]})


def both(**more: Any) -> str:
    """Return COCO of two images or annotations: one key is changed in the second."""
    content = json.loads(coco([10, 5, 20, 15]))
    for kind, changes in more.items():
        content[kind].append(content[kind][0] | {"id": 8} | changes)
    return json.dumps(content)


KVASIR = {"a": {"height": 40, "width": 60, "bbox": [{"label": "polyp", "xmin": 10, "ymin": 5, "xmax": 30, "ymax": 20}]}}


@pytest.mark.parametrize("content", [coco([10, 5, 20, 15]), "\ufeff" + json.dumps(KVASIR)])
def test_boxes_of_json(content: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(content, encoding="utf-8")
    maps = []
    for path in (tmp_path / "boxes.json", LABELS["boxes"][0](tmp_path)):
        label = built("boxes", path)
        maps.append(label.draw(label.read(["a"]).of("a"), SIZE))
    np.testing.assert_array_equal(*maps)


def test_boxes_are_ellipses_with_corners(tmp_path: Path) -> None:
    path = text("IMAGE,x0,y0,x1,y1\na,0.1,0.2,0.5,0.9\na,0.4,0.1,0.9,0.5\na,0.999,0.999,1,1\n")(tmp_path)
    label = built("boxes", path, unit="fractions", ellipse=0.8, corner=0.3)
    expected = np.zeros(SIZE)
    for x0, y0, x1, y1 in ((6, 8, 30, 36), (24, 4, 54, 20), (59, 39, 60, 40)):
        for row in range(y0, y1):
            for column in range(x0, x1):
                across, down = (2 * column + 1 - x0 - x1) / (x1 - x0), (2 * row + 1 - y0 - y1) / (y1 - y0)
                r = np.hypot(across, down)
                value = 1 - 0.2 * r**4 if r <= 1 else 0.3
                expected[row, column] = max(expected[row, column], value)
    drawn = label.draw(label.read(["a"]).of("a"), SIZE)
    np.testing.assert_allclose(drawn[:-1], expected[:-1], atol=1e-6)
    assert drawn[-1, -1] > 0  # a box of less than a pixel


def test_points_are_gaussians(tmp_path: Path) -> None:
    path = text("IMAGE,x,y,class\na,15,10,1\na,45,30,1\na,33,20,0\n")(tmp_path)
    label = built("points", path, sigma=20.0, canvas=100)
    y, x = (np.mgrid[:40, :60] + 0.5) / np.array(SIZE)[:, None, None]
    places = ((15, 10), (45, 30), (33, 20))
    near = [np.exp(-((x - a / 60) ** 2 + (y - b / 40) ** 2) * 100**2 / (2 * 20**2)) for a, b in places]
    expected = np.maximum(near[0], near[1]) * (1 - near[2])
    drawn = label.draw(label.read(["a"]).of("a"), SIZE)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    only = text("IMAGE,x,y,class\na,15,10,0\n")(tmp_path)
    assert not label.draw(built("points", only).read(["a"]).of("a"), SIZE).any()


@pytest.mark.parametrize("fuse", ["mean", "agreement"])
def test_heatmaps_of_observers_are_fused(fuse: str, tmp_path: Path) -> None:
    rows = ["a,1,0.4,0.5,200,Al", "a,2,0.6,0.5,90,Al", "a,1,0.5,0.5,200,Bo", "a,1,0.45,0.6,70,Cy", "b,1,0.5,0.5,60,Al"]
    path = text("\n".join([f"{GAZE.strip()},observer", *rows]))(tmp_path)
    label = built("gaze", path, fuse=fuse)
    table = label.read(["a", "b"])
    heats = [label.draw(each, SIZE).astype(float) for each in table.of("a").by_observer()]
    expected = sum(heats) / 3 if fuse == "mean" else np.cbrt(heats[0] * heats[1] * heats[2])
    drawn = label.draw(table.of("a"), SIZE)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, expected, atol=1e-6)
    np.testing.assert_array_equal(label.draw(table.of("b"), SIZE), built("gaze", path).draw(table.of("b"), SIZE))


@pytest.mark.parametrize("name", ["A.png", "a.jpg.png"])
def test_two_scribbles_of_one_image_are_refused(name: str, tmp_path: Path) -> None:
    path = scribbles({"a.png": STROKES, name: STROKES})(tmp_path)
    with pytest.raises(ValueError, match=rf"{name.split('.')[0]}.*png are both the scribbles of a; remove one"):
        built("scribbles", path).read(["a", "b"])


@pytest.mark.parametrize(("background", "foreground", "unlabeled"), [(0, 1, 255), (0, 255, 4), (0, 1, 2)])
def test_scribbles_are_certain(background: int, foreground: int, unlabeled: int, tmp_path: Path) -> None:
    values = {255: unlabeled, 0: background, 1: foreground}
    picture = np.vectorize(values.__getitem__)(STROKES).astype(np.uint8)
    label = built("scribbles", scribbles({"a.png": picture})(tmp_path), ignore_label=unlabeled)
    expected = np.select([STROKES == 255, STROKES == 1], [0.5, 1.0], 0.0)
    np.testing.assert_array_equal(label.draw(label.read(["a"]).of("a"), SIZE), expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("boxes", "IMAGE,x0,y0,x1,y1\na,10,5,80,20\n", r"labels\.csv: line 2: 10, 5, 80, 20 \(pixels\) is outside"),
        ("boxes", "IMAGE,x0,y0,x1,y1\n\na,30,5,10,20\n", "line 3: a box cannot go from x 30 to 10"),
        ("boxes", "IMAGE,x0,y0,x1,y1\na,0.1,0.1,0.9,1.0001\n", r"line 2: numbers up to 1 .*labels\.unit=fractions"),
        ("boxes", coco([10, 5, 20, 15], width=50), "annotation 1: the image is 60 x 40 pixels, but here 50 x 40"),
        (
            "boxes",
            both(images={"width": 50}, annotations={"image_id": 8}),
            "annotation 8: the image is 60 x 40 pixels, but here 50 x 40",
        ),
        ("points", "IMAGE,x,y,class\na,5,5,1\na,5,45,0\n", "line 3: 5, 45 .* 60 x 40 pixels, but inside with x and"),
        ("points", "IMAGE,x,y,class\na,5,65,1\na,5,45,0\n", r"line 2: 5, 65 \(pixels\) is .* 60 x 40 pixels; correct"),
        ("boxes", "IMAGE,x0,y0,x1,y1\na,10,5,20,50\n", "10, 5, 20, 50 .* pixels, but inside with x and y in "),
        ("points", "IMAGE,x,y,class\na,0.5,0.5,1\n", r"line 2: numbers up to 1 .*labels\.unit=fractions"),
        ("points", "IMAGE,x,y,class\na,5,5,1\na,5,5,2\n", "line 3: no class 2; 1 is foreground, 0 is background"),
        ("scribbles", STROKES[:-1], r"a\.png is 60 x 39 pixels, but the image is 60 x 40"),
        ("scribbles", np.maximum(STROKES, 1), r"a\.png: no background \(value 0\)"),
        ("scribbles", np.where(STROKES == 1, 0, STROKES), r"a\.png: no foreground \(value 1\)"),
        ("scribbles", np.where(STROKES == 255, 7, STROKES), r"a\.png: value 7 is not .*set labels\.ignore_label=7"),
    ],
)  # fmt: skip
def test_faults_of_one_image_end_in_its_line(name: str, content: Any, message: str, tmp_path: Path) -> None:
    path = scribbles({"a.png": content})(tmp_path) if name == "scribbles" else text(content)(tmp_path)
    if name == "boxes" and content.startswith("{"):
        path = path.rename(tmp_path / "labels.json")
    label = built(name, path)
    annotation = label.read(["a"]).of("a")
    with pytest.raises(ValueError, match=message):
        label.draw(annotation, SIZE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("points", "IMAGE,x,y,class\na,5,five,1\n", "line 2, column y: 'five' is not a number"),
        ("boxes", "IMAGE,x0,y0,x1,y1\na,1,,3,4\n", "line 2, column y0: '' is not a number"),
        (
            "boxes",
            "IMAGE,x0,y0,x1,y1,Label\na,1,1,3,4,disc\na,5,5,9,9,cup\n",
            "of 2 categories .'cup', 'disc'.; keep those",
        ),
        ("boxes", "{", "not JSON"),
        ("boxes", '{"annotations": 3, "images": []}', "not boxes in COCO's format, which has images"),
        ("boxes", coco([1, 2, 3]), "annotation 1: no four numbers"),
        ("boxes", both(annotations={"image_id": 3}), "annotation 8: no image has the id 3"),
        ("boxes", both(images={"id": 7, "file_name": "b.jpg"}), r"set/a\.jpg and b\.jpg have the id 7; .* new ids"),
        ("boxes", both(annotations={"attributes": {"rotation": 30.0}}), "annotation 8: rotated by 30.0 degrees"),
        ("boxes", coco([1, 2, 3, 4]).replace("}]}", '}, {"image_id": 7, "bbox": [1, 1, 2, 2]}]}'), "of 2 categories"),
    ],
)
def test_damaged_files_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = text(content)(tmp_path)
    if content.startswith("{"):
        path = path.rename(tmp_path / "labels.json")
    with pytest.raises(ValueError, match=message):
        built(name, path).read(["a"])
