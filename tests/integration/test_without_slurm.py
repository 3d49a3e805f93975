"""What is said where there is no SLURM."""

from pathlib import Path

import pytest

from .conftest import invoke


def test_a_launcher_without_its_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = invoke("train", "compute=slurm", "data.root=DIR")
    line = "there is no SLURM here (no sbatch): start from a node of the cluster, or set compute=local"
    assert done.refusal("train") == line
