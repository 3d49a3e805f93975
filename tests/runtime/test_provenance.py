"""The state of a checkout, and what it lacks of its commit."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from fovea.runtime import provenance
from fovea.runtime.provenance import git_state, write_provenance


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one file, which passes for that of the project."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "code.py").write_text("one\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "m")
    monkeypatch.setattr(provenance, "__file__", str(folder / "code.py"))
    return folder


def test_a_clean_checkout_leaves_no_difference(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "changes.diff").write_text("of a run before")
    write_provenance(tmp_path, "train", ["a=1"], 0)
    found = json.loads((tmp_path / "provenance.json").read_text())
    assert found["git"]["state"] == "clean" and found["git"]["untracked"] == []
    assert found["command"] == "fovea-train a=1"
    assert not (tmp_path / "changes.diff").exists()


def test_what_was_changed_can_be_applied_again(checkout: Path, tmp_path: Path) -> None:
    (checkout / "code.py").write_bytes(b"two\xff\0\n")
    (checkout / "new").touch()
    write_provenance(tmp_path, "train", [], 0)
    state = json.loads((tmp_path / "provenance.json").read_text())["git"]
    difference = tmp_path / "changes.diff"
    assert (state["state"], state["untracked"]) == ("changed", ["new"])
    assert state["diff_sha256"] == hashlib.sha256(difference.read_bytes()).hexdigest()
    git(checkout, "checkout", "code.py")
    git(checkout, "apply", str(difference))
    assert (checkout / "code.py").read_bytes() == b"two\xff\0\n"


def test_a_difference_without_bound_is_not_kept(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_MOST_BYTES", 10)
    (checkout / "code.py").write_text("two\n")
    write_provenance(tmp_path, "train", [], 0)
    assert not (tmp_path / "changes.diff").exists()


def test_outside_a_checkout_there_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
