"""The prepare stage killed in the middle, and two of them at once: the store ends with the same bytes."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from .commands import Run, files, finished, folder, kill_when, process

pytestmark = pytest.mark.slow
IMAGES = 150  # work for a second


@pytest.fixture
def many(root: Path) -> Path:
    """Link the ten images under many names."""
    rows = (root / "fixations.csv").read_text().splitlines()
    table = [rows[0]]
    for number in range(IMAGES):
        name = "abcdefghij"[number % 10]
        for subfolder in ("images", "masks"):
            os.link(root / subfolder / f"{name}.png", root / subfolder / f"{name}{number}.png")
        table += [f"{name}{number}{row[1:]}" for row in rows if row.startswith(f"{name}.")]
    (root / "fixations.csv").write_text("\n".join(table) + "\n")
    return root


def overrides(many: Path, store: Path, workers: int) -> list[str]:
    return [*folder(many), f"store={store}", f"workers={workers}", "quality=labels", f"hydra.run.dir={store}_run"]


def start(many: Path, store: Path, workers: int) -> subprocess.Popen[str]:
    return process("prepare", *overrides(many, store, workers), cwd=store.parent)


def test_killed_and_started_again(many: Path, run: Run, tmp_path: Path) -> None:
    assert run("prepare", *overrides(many, tmp_path / "whole", 1)).status == 0
    store = tmp_path / "store"
    for maps in (1, IMAGES // 3):
        kill_when(start(many, store, 2), lambda maps=maps: len(list(store.glob("maps/[!.]*.png"))) >= maps)
        assert not (store / "manifest.json").exists()
    time.sleep(0.2)  # the workers notice that they are alone
    assert finished(start(many, store, 2)).status == 0
    assert files(store) == files(tmp_path / "whole")


def test_two_at_once(many: Path, run: Run, tmp_path: Path) -> None:
    both = [start(many, tmp_path / "store", 1) for _ in range(2)]
    assert [finished(process_).status for process_ in both] == [0, 0]
    assert run("prepare", *overrides(many, tmp_path / "alone", 1)).status == 0
    assert files(tmp_path / "store") == files(tmp_path / "alone")
