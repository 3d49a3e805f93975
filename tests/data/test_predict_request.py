"""What a prediction reads."""

from pathlib import Path

import pytest

from fovea.data.predict_request import PredictRequest, files_below, named, refuse_overlap
from fovea.runtime.files import sha256


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)


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


def test_a_range_from_high_to_low_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"low below high, .* got \[9, 9\]"):
        PredictRequest(tmp_path, tmp_path, range=(9, 9))


def test_each_network_has_the_images_that_it_was_trained_on(tmp_path: Path) -> None:
    touch(tmp_path / "one", tmp_path / "other")
    request = PredictRequest(tmp_path, tmp_path).made_by([tmp_path / "one", tmp_path / "other"], [["i", "j"], []])
    assert request.networks == {sha256(tmp_path / "one"): ["i", "j"], sha256(tmp_path / "other"): None}
