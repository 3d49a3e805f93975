"""The processes of one training: one in each run folder, and one GPU for each job of a launcher."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fovea.runtime import processes
from fovea.runtime.processes import alone, join_launcher


@pytest.mark.parametrize(
    ("number", "gpus", "visible", "mine"),
    [(3, 2, "", "1"), (2, 2, "4,7", "4"), (5, None, "4,7", "4,7"), (5, 3, "4,7", ""), (5, 0, "4,7", "")],
)
def test_jobs_of_a_launcher_take_gpus_in_turn(
    monkeypatch: pytest.MonkeyPatch, number: int, gpus: int | None, visible: str, mine: str
) -> None:
    monkeypatch.setattr(processes, "parent_process", lambda: "a launcher")
    monkeypatch.setattr(processes, "follow_parent", cache(lambda: None))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)  # there is no GPU here
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if not mine:
        for _ in range(2):  # a later job of the process is not put on another GPU either
            with pytest.raises(ValueError, match=f"compute.gpus={gpus}, but 2 GPUs are visible here; give that number"):
                join_launcher(number, gpus)
        return
    join_launcher(number, gpus)
    join_launcher(number + 1, gpus)  # the process keeps its own
    assert os.environ["CUDA_VISIBLE_DEVICES"] == mine


TRAINS = """
import sys, time
from pathlib import Path
from fovea.runtime.processes import alone

with alone(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(600)
"""


def test_a_folder_has_one_training_until_its_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", TRAINS, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(ValueError, match=rf"run: process {other.pid} on .* trains there; wait for its end"):
            alone(run).__enter__()
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        with alone(run):
            pass
        monkeypatch.delenv("SLURM_RESTART_COUNT")
        with subprocess.Popen(command, stdout=subprocess.PIPE) as third:  # in the file that the restarted job left
            assert third.stdout is not None and third.stdout.readline()
            third.kill()
        other.kill()
    with alone(run):
        assert (run / ".training").read_text().startswith(f"{os.getpid()} on ")
    assert list(run.iterdir()) == []
