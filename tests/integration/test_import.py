"""`fovea-import` through the command: from an export to a trained model, and what it says of bad input."""

from pathlib import Path

import pytest
from PIL import Image

from .conftest import LIGHT, Run, folder, gaze

MESSAGES = "MSG\t100 DISPLAY_COORDS 0 0 399 299\n"


def asc(names: str) -> str:
    """A recording of three fixations near the middle on each of some images."""
    lines = [MESSAGES]
    for place, name in enumerate(names):
        time = 1000 * (place + 1)
        lines.append(f"MSG\t{time} !V IMGLOAD CENTER images/{name}.png\n")
        for number in range(3):
            start = time + 10 + 250 * number
            lines.append(f"EFIX L   {start}\t{start + 200}\t202\t  {190 + 9 * number}.0\t  150.0\t   900\n")
        lines.append(f"END\t{time + 900}\tSAMPLES\tEVENTS\tRES\t 40\t 40\n")
    return "".join(lines)


def test_from_a_recording_to_a_model(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    for file, names in {"one": "abcd", "two": "efgh"}.items():
        (tmp_path / "recordings" / f"{file}.asc").write_text(asc(names))
    imported = run("import_", "format=eyelink_asc", "source=recordings", *folder(root), "fit=contain", "out=mine.csv")
    assert imported.status == 0 and imported.complaints == [], imported
    assert "24 fixations on 8 images (0 off the image, 0 without a position) of 2 files in mine.csv" in imported.stdout
    prepared = run("prepare", *folder(root), *gaze(tmp_path / "mine"), "labels.path=mine.csv")
    assert prepared.status == 0, prepared
    assert "8 maps in" in prepared.stdout
    trained = run("train", *folder(root), *gaze(tmp_path / "mine"), *LIGHT, "supervision=gaze")
    assert trained.status == 0, trained


def test_from_published_maps_to_a_model(run: Run, root: Path, tmp_path: Path) -> None:
    assert run("prepare", *folder(root), *gaze(tmp_path / "exact")).status == 0
    (root / "gaze" / "heatmap").mkdir(parents=True)
    for path in (tmp_path / "exact" / "maps").iterdir():
        with Image.open(path) as image:
            eight = image.point(lambda value: value / 257).convert("L")
        eight.save(root / "gaze" / "heatmap" / f"{path.stem}.jpg", quality=95)
    imported = run("import_", "format=maps", f"source={root}", *folder(root), "refine=none", "out=published")
    assert imported.status == 0 and "10 maps in published" in imported.stdout, imported
    trained = run("train", *folder(root), *gaze(tmp_path / "published"), *LIGHT, "supervision=gaze")
    assert trained.status == 0, trained
    refused = run("train", *folder(root), *gaze(tmp_path / "published"), *LIGHT, "labels.sigma=50").refusal("train")
    assert "labels.sigma is 50.0 here but the store has 70.0" in refused


def test_a_missing_map_is_told_and_the_rest_is_written(run: Run, root: Path, tmp_path: Path) -> None:
    (root / "maps").mkdir()
    for path in (root / "images").iterdir():
        with Image.open(path) as image:
            image.convert("L").save(root / "maps" / path.name)
    (root / "maps" / "c.png").unlink()
    done = run("import_", "format=maps", f"source={root / 'maps'}", *folder(root), "refine=none", "out=store")
    assert done.refusal("import") == "1 could not be imported (c), all others are in store: no map of c in maps"
    assert len(list((tmp_path / "store" / "maps").iterdir())) == 9


def test_a_bad_recording_is_told_and_the_rest_is_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "good.asc").write_text(asc("ab"))
    (tmp_path / "recordings" / "silent.asc").write_text(asc("a").replace("IMGLOAD", "DRAW"))
    place = ["image.left=0", "image.top=0", "image.width=400", "image.height=300"]
    done = run("import_", "format=eyelink_asc", "source=recordings", *place, "out=mine.csv")
    assert "1 could not be imported (silent.asc), all others are in mine.csv" in done.refusal("import")
    assert "no message matches format.message=" in done.refusal("import")
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 1 + 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["source=x.asc"], "format is not set: add format=… (eyelink_asc, generic, maps, nci_isbi, pupil, tobii)"),
        (["format=tobi", "source=x.asc"], "format=tobi is not a choice; choose eyelink_asc"),
        (["format=tobii", "source=nowhere"], "source: nowhere does not exist"),
        (["format=eyelink_asc", "source=x.asc"], "the place of the image is not set: add image.left"),
        (
            ["format=eyelink_asc", "source=x.asc", "fit=contain"],
            "fit=contain needs the size of each image: add data.root",
        ),
        (["format=eyelink_asc", "source=x.asc", "screen.width=-1"], "screen.width must be above 0, got -1"),
        (
            ["format=eyelink_asc", "source=x.asc", "detection.method=magic"],
            "detection.method must be one of",
        ),
        (["format=maps", "source=."], "data.root is not set: maps are matched to images"),
        (["format=nci_isbi", "source=."], "source: no metadata.csv below"),
    ],
)
def test_bad_input_is_one_line(run: Run, tmp_path: Path, given: list[str], message: str) -> None:
    (tmp_path / "x.asc").write_text(asc("a"))
    assert message in run("import_", *given, "out=out.csv").refusal("import")
    assert not (tmp_path / "out.csv").exists()


def test_an_unwritable_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.asc").write_text(asc("a"))
    place = ["image.left=0", "image.top=0", "image.width=400", "image.height=300"]
    line = run("import_", "format=eyelink_asc", "source=x.asc", *place, "out=x.asc/mine.csv").refusal("import")
    assert "cannot write x.asc" in line
