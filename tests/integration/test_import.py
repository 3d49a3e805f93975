"""`fovea-import` through the command: from an export to a trained model, and invalid input."""

from pathlib import Path

import pytest
from PIL import Image

from .commands import LIGHT, Run, folder, gaze

pytestmark = pytest.mark.slow

MESSAGES = "MSG\t100 DISPLAY_COORDS 0 0 399 299\n"


def asc(names: str) -> str:
    """Return a recording of three fixations near the middle of each image."""
    lines = [MESSAGES]
    for index, name in enumerate(names):
        time = 1000 * (index + 1)
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
    assert imported.status == 0 and imported.errors == [], imported
    assert "24 fixations on 8 images (0 off the image, 0 without a position) of 2 files in mine.csv" in imported.stdout
    prepared = run("prepare", *folder(root), *gaze(tmp_path / "mine"), "labels.path=mine.csv")
    assert prepared.status == 0, prepared
    assert "8 maps in" in prepared.stdout
    mine = [*gaze(tmp_path / "mine"), "labels.path=mine.csv"]
    trained = run("train", *folder(root), *mine, *LIGHT, "supervision=gaze", "evaluate=[]")
    assert trained.status == 0, trained


def test_from_published_maps_to_a_model(run: Run, root: Path, tmp_path: Path) -> None:
    assert run("prepare", *folder(root), *gaze(tmp_path / "exact")).status == 0
    (root / "gaze" / "heatmap").mkdir(parents=True)
    for path in (tmp_path / "exact" / "maps").iterdir():
        with Image.open(path) as image:
            eight = image.point(lambda value: value / 257).convert("L")
        eight.save(root / "gaze" / "heatmap" / f"{path.stem}.jpg", quality=95)
    data = [*folder(root), "data.exif=apply"]
    imported = run("import_", "format=maps", f"source={root}", *data, "refine=none", "out=published")
    assert imported.status == 0 and "10 maps in published" in imported.stdout, imported
    trained = run("train", *data, *gaze(tmp_path / "published"), *LIGHT, "supervision=gaze", "evaluate=[]")
    assert trained.status == 0, trained


def test_the_recordings_beside_a_bad_one_are_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "good.asc").write_text(asc("ab"))
    (tmp_path / "recordings" / "silent.asc").write_text(asc("a").replace("IMGLOAD", "DRAW"))
    place = ["image.left=0", "image.top=0", "image.width=400", "image.height=300"]
    error = run("import_", "format=eyelink_asc", "source=recordings", *place, "out=mine.csv").error("import")
    assert "1 could not be imported (silent.asc)" in error and "message" in error
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 1 + 6
