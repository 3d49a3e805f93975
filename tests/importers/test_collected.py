"""Files that a page of `fovea-collect` saved: samples, strokes, and the log of images that were shown."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.importers.request import ImportRequest

from .conftest import detection, importer, rows

HEADER = "image,observer,t,x,y,left,top,width,height"
START = 1_795_000_000_000


def samples(image: str, start: float, x: float, count: int = 20, observer: str = "A") -> list[str]:
    """Return samples at rest, one each 33 ms."""
    return [f"{image},{observer},{START + start + 33 * n:.0f},{x},150,0,0,800,600" for n in range(count)]


def read(tmp_path: Path, lines: list[str], header: str = HEADER, **keys: Any) -> list[dict[str, str]]:
    source = tmp_path / "collected.csv"
    source.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    found_by = detection(unit="px", dispersion=70.0)
    importer(keys.pop("name", "collect"), **keys)(ImportRequest(source, tmp_path / "out.csv", detection=found_by))
    return rows(tmp_path / "out.csv")


def test_samples_become_fixations(tmp_path: Path) -> None:
    pytest.importorskip("pymovements")
    made = [*samples("a.png", 0, 200), *samples("a.png", 2000, 600), *samples("b.png", 9000, 400)]
    names = ("IMAGE", "CURRENT_FIX_X", "CURRENT_FIX_Y", "CURRENT_FIX_START", "observer")
    found = read(tmp_path, made)
    assert ["|".join(each[name] for name in names) for each in found] == [
        *("a.png|0.25|0.25|0|A", "a.png|0.75|0.25|2000|A", "b.png|0.5|0.25|0|A")
    ]
    assert all(600 < float(each["CURRENT_FIX_DURATION"]) < 640 for each in found)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*samples("a.png", 9000, 200), *samples("b.png", 0, 200)], "the time goes back"),
        ([*samples("one/a.png", 0, 200), *samples("two/a.png", 9000, 200)], "would both be the image a"),
    ],
)
def test_damaged_samples_are_refused(lines: list[str], message: str, tmp_path: Path) -> None:
    pytest.importorskip("pymovements")
    with pytest.raises(ValueError, match=message):
        read(tmp_path, lines)


def strokes(*images: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "fovea-collect scribbles 1", "observer": "", "images": list(images), **more}


def image(name: str = "a.png", **stroke: Any) -> dict[str, Any]:
    drawn = {"class": 1, "width": 3.0, "points": [[4.5, 5.5], [10.5, 5.5]], **stroke}
    return {"image": name, "width": 20, "height": 12, "seconds": 3, "strokes": [drawn]}


def draw(tmp_path: Path, content: object) -> np.ndarray:
    (tmp_path / "s.json").write_text(json.dumps(content), encoding="utf-8")
    result = importer("collect")(ImportRequest(tmp_path / "s.json", tmp_path / "out"))
    assert result.lines == [f"scribbles on 1 images in {tmp_path / 'out'}"]
    return np.asarray(Image.open(tmp_path / "out" / "a.png"))


@pytest.mark.parametrize("width", [0.3, 1.4, 3.0, 6.8])
def test_a_stroke_covers_the_pixels_on_it(width: float, tmp_path: Path) -> None:
    line, [dot] = image(points=[[4, 3.2], [11.2, 8.6], [-3, 40]], width=width), image(points=[[16, 6]])["strokes"]
    line["strokes"].append({**dot, "class": 0, "width": width})  # one tap at the corner of four pixels
    pixels = draw(tmp_path, strokes(line, {**image("b.png"), "strokes": []}))
    corners, share = np.array([[4, 3.2], [11.2, 8.6], [-3, 40]]), np.linspace(0, 1, 4001)[:, None]
    path = np.concatenate([a + share * (b - a) for a, b in pairwise(corners)])
    centers = np.stack(np.mgrid[:20, :12], axis=-1).transpose(1, 0, 2) + 0.5
    distance = np.linalg.norm(centers[:, :, None] - path, axis=-1).min(axis=2)
    expected = np.where(distance <= max(width / 2, 0.75), 1, 255)
    expected[np.linalg.norm(centers - (16, 6), axis=-1) <= max(width / 2, 0.75)] = 0
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (strokes(image(), image()), "it has a.png twice"),
        (strokes(image(), image("a")), "two images have the id a; import them one by one"),
        (strokes(image(), image("a.jpg")), "would both be the image a"),
        (strokes(image(points=[])), "stroke.points must be a list of at least 1"),
        (strokes(image(points=[[1, None]])), r"stroke.points\[0\]\[1\] must be"),
        (strokes(image(points=[[float("inf"), 1]])), r"stroke.points\[0\]\[0\] must be"),
        (strokes(image(points=[[1, float("nan")]])), r"stroke.points\[0\]\[1\] must be"),
        (strokes(image(**{"class": 2})), "stroke.class must be at most 1"),
        (strokes({**image(), "height": 0}), "a.png.height must be at least 1"),
        (strokes(image(), format="other"), "format other"),
        ([], "not the scribbles of one page of fovea-collect"),
    ],
)
def test_damaged_strokes_are_refused(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        draw(tmp_path, content)
    assert not list((tmp_path / "out").glob("*"))


def test_an_interrupted_call_leaves_no_part_of_the_scribbles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path, pixels: np.ndarray) -> None:
        path.write_bytes(b"")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("fovea.importers.collected.write_image", interrupt)
        draw(tmp_path, strokes(image()))
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]
    draw(tmp_path, strokes(image()))


LOG = "image,observer,left,top,width,height,screen_width,screen_height,onset,end,onset_performance,end_performance"


def log(tmp_path: Path, *times: tuple[float, float]) -> str:
    lines = [
        f"{'ab'[n % 2]}.png,,100,50,400,300,1920,1080,{START + on},{START + off},0,1"
        for n, (on, off) in enumerate(times)
    ]
    path = tmp_path / "screen.csv"
    path.write_text("\n".join([LOG, *lines]) + "\n", encoding="utf-8")
    return str(path)


FIXATIONS = [
    f"{START + start},{x},200,{length}" for start, x, length in ((50, 300, 200), (950, 200, 300), (1400, 400, 90))
]
COLUMNS = {"image": None, "x": "x", "y": "y", "start": "t", "duration": "d"}


def test_a_log_tells_image_and_place(tmp_path: Path) -> None:
    keys = {"name": "generic", "columns": COLUMNS, "shown": log(tmp_path, (0, 1000), (1100, 2000))}
    found = [(each["IMAGE"], each["CURRENT_FIX_X"]) for each in read(tmp_path, FIXATIONS, "t,x,y,d", **keys)]
    assert found == [("a.png", "0.5"), ("a.png", "0.25"), ("b.png", "0.75")]
    found = rows(tmp_path / "out.csv")
    assert {each["CURRENT_FIX_Y"] for each in found} == {"0.5"}
    times = [(each["CURRENT_FIX_START"], each["CURRENT_FIX_DURATION"]) for each in found]
    assert times == [("50", "200"), ("950", "50"), ("300", "90")]  # since the image appeared, until it disappeared
    samples = importer("generic", columns={**COLUMNS, "duration": None}, shown=keys["shown"])
    table = "t,x,y\n" + "\n".join(f"{START + 30 + step},300,200" for step in range(0, 200, 10))
    (tmp_path / "samples.csv").write_text(table, encoding="utf-8")
    assert samples.read(tmp_path / "samples.csv").trials[0].start[:2].tolist() == [30, 40]


def test_an_image_without_a_place_is_left_out(tmp_path: Path) -> None:
    path = Path(log(tmp_path, (0, 1000), (1100, 2000)))
    path.write_text(path.read_text(encoding="utf-8").replace("b.png,,100,50,400,300", "b.png,,,,,"), encoding="utf-8")
    keys = {"name": "generic", "columns": COLUMNS, "shown": str(path)}
    assert [each["IMAGE"] for each in read(tmp_path, FIXATIONS, "t,x,y,d", **keys)] == ["a.png", "a.png"]
    source, reader = tmp_path / "collected.csv", importer("generic", columns=COLUMNS, shown=str(path))
    result = reader(ImportRequest(source, tmp_path / "again.csv"))
    assert result.warnings == [
        "trials of 1 images are left out, since the file does not say where they were shown: b.png"
    ]


def test_a_log_tells_the_screen(tmp_path: Path) -> None:
    fixations = [f"{START - 500},0.1,0.1,200", f"{START + 50},{300 / 1920},{200 / 1080},200"]  # one before the image
    keys = {"name": "generic", "columns": COLUMNS, "shown": log(tmp_path, (0, 1000)), "unit": "screen"}
    [found] = read(tmp_path, fixations, "t,x,y,d", **keys)
    assert (found["CURRENT_FIX_X"], found["CURRENT_FIX_Y"]) == ("0.5", "0.5")


@pytest.mark.parametrize(
    ("times", "offset", "message"),
    [
        ([(1000, 2000), (0, 500)], 0.0, r"screen.csv: the clock goes back at line 2; split the log"),
        ([(1000, 500)], 0.0, r"the clock goes back at line 2"),
        ([(0, 1000)], 1e7, "set format.shown_offset, the ms to add"),
    ],
)
def test_a_log_that_does_not_fit_is_refused(
    times: list[tuple[float, float]], offset: float, message: str, tmp_path: Path
) -> None:
    keys = {"name": "generic", "columns": COLUMNS, "shown": log(tmp_path, *times), "shown_offset": offset}
    with pytest.raises(ValueError, match=message):
        read(tmp_path, FIXATIONS, "t,x,y,d", **keys)
