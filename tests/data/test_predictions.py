"""What a prediction reads, and that it replaces only files that it wrote."""

import csv
import io
from pathlib import Path

import pytest

from fovea.data.predictions import files_below, named, recorded, refuse_overlap


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)


def predict(out: Path, *names: str, content: str = "new") -> None:
    with recorded(out, {f"masks/{name}": Path("in", name) for name in names}):
        for name in names:
            (out / "masks").mkdir(parents=True, exist_ok=True)
            (out / "masks" / name).write_text(content)


def test_a_nested_folder_keeps_its_structure_and_no_two_files_share_a_name(tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "sub/a.png", "sub/b.1.tif", "a.jpg.png", ".hidden/x.png", "sub/.x.png"]
    touch(*(tmp_path / name for name in names))
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    found = files_below(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        *("a.jpg", "a.jpg.png", "a.png", "link", "sub/a.png", "sub/b.1.tif")
    ]
    by_name = named(tmp_path, [path for path in found if path.is_file()])
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in by_name.items()} == {
        **{name: name for name in ("a.jpg", "a.jpg.png", "a.png")},
        **{"sub/a": "sub/a.png", "sub/b.1": "sub/b.1.tif"},
    }
    assert named(tmp_path / "a.png", files_below(tmp_path / "a.png")) == {"a": tmp_path / "a.png"}


@pytest.mark.parametrize(
    ("source", "out"),
    [("in", "in"), ("in", "in/out"), ("in", "link/out"), ("o/masks", "o"), ("o/masks/a", "o"), ("o", "o/../o")],
)
def test_out_in_the_input_is_refused(tmp_path: Path, source: str, out: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ValueError, match="would write into the input"):
        refuse_overlap(tmp_path / source, tmp_path / out)
    refuse_overlap(tmp_path / "data" / "images", tmp_path / "data")


def test_own_files_are_replaced_and_recorded(tmp_path: Path) -> None:
    predict(tmp_path, "a.png", "b.png", content="old")
    odd = 'ü,"\n\u2028'
    for _ in range(2):
        predict(tmp_path, "a.png", f"{odd}.png")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "predictions.csv").read_bytes().decode(), newline="")))
    assert [(row["file"], row["input"]) for row in rows] == [(f"masks/{n}.png", f"in/{n}.png") for n in ("a", "b", odd)]
    assert rows[0]["sha256"] == rows[2]["sha256"] != rows[1]["sha256"]


def test_foreign_and_changed_files_are_kept(tmp_path: Path) -> None:
    touch(tmp_path / "data" / "masks" / "truth.jpg")
    with pytest.raises(
        ValueError, match=r"not written by fovea-predict, or changed since: .*truth\.jpg; choose another folder"
    ):
        predict(tmp_path / "data", "a.png")
    assert [path.name for path in files_below(tmp_path / "data")] == ["truth.jpg"]
    predict(tmp_path / "out", "a.png", "b.png")
    (tmp_path / "out" / "masks" / "a.png").write_text("corrected by hand")
    with pytest.raises(ValueError, match=r"changed since: .*a\.png;"):
        predict(tmp_path / "out", "a.png")
    predict(tmp_path / "out", "b.png")
    touch(tmp_path / "table" / "predictions.csv")
    with pytest.raises(ValueError, match=r"predictions\.csv is not a file of fovea-predict"):
        predict(tmp_path / "table", "a.png")


def test_a_killed_run_may_replace_its_own_files(tmp_path: Path) -> None:
    predict(tmp_path, "a.png", content="half")
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    (tmp_path / "predictions.csv").write_text("\n".join([rows[0], rows[1].rpartition(",")[0] + ","]))
    predict(tmp_path, "a.png")
    assert (tmp_path / "masks" / "a.png").read_text() == "new"
