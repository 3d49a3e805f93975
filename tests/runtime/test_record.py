"""The state of a checkout and its diff."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
import torch

from fovea.runtime.record import RECORD, TRAINING, add_threads, earlier_record_kept, git_state, write_provenance


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one file that stands in for the project's."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "code.py").write_text("one\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "m")
    monkeypatch.setattr("fovea.runtime.record.__file__", str(folder / "code.py"))
    return folder


def test_clean_checkout_has_no_diff(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "changes.diff").write_text("of an earlier run")
    write_provenance(tmp_path, "train", ["a=1"], 0)
    written = json.loads((tmp_path / "provenance.json").read_text())
    assert written["git"]["state"] == "clean" and written["git"]["untracked"] == []
    assert (written["command"], written["overrides"]) == ("fovea-train a=1", ["a=1"])
    assert not (tmp_path / "changes.diff").exists()


def test_diff_can_be_applied(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "code.py").write_bytes(b"two\xff\0\n")
    (checkout / "new").touch()
    write_provenance(tmp_path, "train", [], 0)
    state = json.loads((tmp_path / "provenance.json").read_text())["git"]
    diff = tmp_path / "changes.diff"
    assert (state["state"], state["untracked"]) == ("changed", ["new"])
    assert state["diff_sha256"] == hashlib.sha256(diff.read_bytes()).hexdigest()
    git(checkout, "checkout", "code.py")
    git(checkout, "apply", str(diff))
    assert (checkout / "code.py").read_bytes() == b"two\xff\0\n"
    monkeypatch.setattr("fovea.runtime.record.MAX_DIFF_BYTES", 10)
    write_provenance(tmp_path, "train", [], 0)
    assert not diff.exists()  # too large to keep
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None  # outside a checkout
    (checkout / ".venv").mkdir()
    assert git_state(checkout / ".venv") is None  # an installed package inside the checkout of another project


def test_threads_are_added(tmp_path: Path) -> None:
    write_provenance(tmp_path, "train", [], 7)
    add_threads(tmp_path)
    written = json.loads((tmp_path / "provenance.json").read_text())
    assert (written["seed"], written["threads"]) == (7, torch.get_num_threads())


@pytest.mark.parametrize("trains", [False, True])
def test_a_start_that_does_not_train_leaves_the_record_of_an_ended_training(trains: bool, tmp_path: Path) -> None:
    def files() -> dict[str, tuple[bytes, int]]:
        return {path.name: (path.read_bytes(), path.stat().st_mode) for path in tmp_path.iterdir()}

    for name in ("config.yaml", "repeat.sh", TRAINING):
        (tmp_path / name).write_text("first")
    (tmp_path / "repeat.sh").chmod(0o755)
    before = files()
    with pytest.raises(KeyboardInterrupt), earlier_record_kept(tmp_path):
        for name in RECORD:
            (tmp_path / name).write_text("second")
        if trains:
            (tmp_path / TRAINING).unlink()
        raise KeyboardInterrupt
    assert trains == ((tmp_path / "config.yaml").read_text() == "second") and trains == (files() != before)
