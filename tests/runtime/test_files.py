"""A file is complete or absent."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fovea.runtime.errors import first_few
from fovea.runtime.files import (
    make_folder,
    put_aside,
    refuse_foreign,
    remove_abandoned,
    sha256,
    whole_folder,
    write_bytes,
    write_csv,
    write_json,
)


def test_write_makes_folders_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    write_bytes(path, b"one")
    before = os.umask(0o027)
    try:
        write_bytes(path, b"two")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": 1}
    before = sha256(tmp_path / "a")
    for name in (".hidden", ".cache/shown", "b/.hidden"):
        write_bytes(tmp_path / "a" / name, b"")
    assert sha256(tmp_path / "a") == before
    write_bytes(tmp_path / "a" / "b" / "shown", b"")
    assert sha256(tmp_path / "a") != before
    write_csv(tmp_path / "t.csv", ["id", "dice"], [["a,b", 0.5]])
    assert (tmp_path / "t.csv").read_text() == 'id,dice\n"a,b",0.5\n'


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "kept", b"")
    with pytest.raises(ValueError, match=r"cannot write .*/a: no such file"), whole_folder(tmp_path / "a") as new:
        new.rmdir()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["a", "a/kept"]
    with whole_folder(tmp_path / "a") as new:
        write_bytes(new / "other", b"")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["a", "a/other"]


def test_what_is_put_aside_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.2.csv").write_text("kept")
    for number in (1, 3):
        (tmp_path / "t.csv").write_text(str(number))
        put_aside(tmp_path / "t.csv")
    put_aside(tmp_path / "t.csv")
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"t.1.csv": "1", "t.2.csv": "kept", "t.3.csv": "3"}


def test_files_of_another_origin_are_not_replaced(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "new", ["a.csv", "a.json"], "a.json", ["rows"])
    (tmp_path / "b.csv").write_text("mine")
    refuse_foreign(tmp_path, ["a.csv", "a.json"], "a.json", ["rows"])
    (tmp_path / "a.csv").write_text("mine")
    for content in (None, '{"mine": 1}', "[]", '{"rows": 1'):
        if content:
            (tmp_path / "a.json").write_text(content)
        with pytest.raises(
            ValueError, match=r"^out: .* has a\.csv, which is not of a finished call of this command; remove it, or"
        ):
            refuse_foreign(tmp_path, ["a.csv", "a.json"], "a.json", ["rows"])
    (tmp_path / "a.json").write_text('{"rows": [], "more": 1}')
    refuse_foreign(tmp_path, ["a.csv", "a.json"], "a.json", ["rows"])


def test_a_killed_process_leaves_a_file_that_is_removed(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    for process in (ended.stdout.strip(), os.getpid()):
        (tmp_path / f".{socket.gethostname()}-{process}-0a1b.tmp").touch()
    (tmp_path / f".{socket.gethostname()}-{ended.stdout.strip()}-0a1c.tmp").mkdir()  # of `whole_folder`
    remove_abandoned(tmp_path)
    left = [f"{os.getpid()}-0a1b", f"{ended.stdout.strip()}-0a1c"]
    assert {path.name for path in tmp_path.iterdir()} == {f".{socket.gethostname()}-{each}.tmp" for each in left}


def test_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    with pytest.raises(ValueError, match=r"cannot write .*/file: file exists; choose another folder$"):
        make_folder(tmp_path / "file")
    with pytest.raises(ValueError, match="cannot write"):
        write_bytes(tmp_path / "file" / "below", b"")
    assert (tmp_path / "file").read_text() == "here already"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes(tmp_path / "file", b"old")

    with (
        monkeypatch.context() as patch,
        pytest.raises(ValueError, match="no space left on device; free space there or choose"),
    ):
        patch.setattr(Path, "open", lambda path, mode: open("/dev/full", "wb", buffering=0))  # noqa: PTH123, SIM115
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_first_few_counts_the_rest() -> None:
    assert first_few(["a", "b"]) == "a, b"
    assert first_few(range(8), 2) == "0, 1 and 6 more"
    assert first_few(["a=1, b=2", "a=2"]) == "a=1, b=2; a=2"
