"""The prepare stage killed in the middle, and two of them at once: the store ends as if nothing had happened."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import finished, folder, process

IMAGES = 800  # enough to be caught at work


@pytest.fixture
def many(root: Path) -> Path:
    """The ten images under many names, so that there is work for a second or two."""
    rows = (root / "fixations.csv").read_text().splitlines()
    table = [rows[0]]
    for number in range(IMAGES):
        name = "abcdefghij"[number % 10]
        for kind in ("images", "masks"):
            os.link(root / kind / f"{name}.png", root / kind / f"{name}{number}.png")
        table += [f"{name}{number}{row[1:]}" for row in rows if row.startswith(f"{name}.")]
    (root / "fixations.csv").write_text("\n".join(table) + "\n")
    return root


def start(many: Path, store: Path, workers: int) -> subprocess.Popen[str]:
    """`fovea-prepare`, in a process of its own."""
    line = [f"store={store}", f"workers={workers}", "quality=labels", f"hydra.run.dir={store}_run"]
    return process("prepare", *folder(many), *line, cwd=store.parent)


def files(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_killed_and_started_again_it_ends_with_the_same_bytes(many: Path, tmp_path: Path) -> None:
    assert finished(start(many, tmp_path / "whole", 1)).status == 0
    store, caught = tmp_path / "store", 0
    for wanted in (1, 300):
        started = start(many, store, 2)
        while started.poll() is None and len(list(store.glob("maps/[!.]*.png"))) < wanted:
            time.sleep(0.002)
        caught += started.poll() is None
        started.kill()
        started.communicate()
        assert started.returncode == 0 or not (store / "manifest.json").exists()
    assert caught >= 1
    time.sleep(0.2)  # for the workers to see that they are alone
    assert finished(start(many, store, 2)).status == 0
    assert files(store) == files(tmp_path / "whole")


def test_two_at_once_do_not_disturb_each_other(many: Path, tmp_path: Path) -> None:
    both = [start(many, tmp_path / "store", 1) for _ in range(2)]
    assert [finished(each).status for each in both] == [0, 0]
    assert finished(start(many, tmp_path / "alone", 1)).status == 0
    assert files(tmp_path / "store") == files(tmp_path / "alone")
