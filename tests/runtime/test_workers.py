"""Workers: every item is done once, errors are raised, and workers end with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import parent_process
from pathlib import Path

import pytest

from fovea.runtime.workers import in_parallel

ORPHANS = """
import os, time
from multiprocessing import parent_process
from fovea.runtime.workers import in_parallel

def work(item):
    if parent_process() is not None:
        print(os.getpid(), flush=True)
    time.sleep(600)

def begin():
    pass

if __name__ == "__main__":
    list(in_parallel(work, range(9), 3, begin))
"""


def square(item: int) -> int:
    return item * item


def process_of(item: int) -> tuple[int, str | None]:
    seen, until = Path(os.environ["FOVEA_SEEN"]), time.monotonic() + 60
    (seen / str(os.getpid())).touch()
    while len(list(seen.iterdir())) < 2 and time.monotonic() < until:  # for the other one to start
        time.sleep(0.01)
    return os.getpid(), os.environ.get("FOVEA_BEGUN")


def refuse(item: int) -> int:
    if item == 3:
        raise ValueError(f"item {item}")
    return item


def die(item: int) -> None:
    if parent_process() is not None:
        os._exit(3)


def nothing() -> None:
    pass


def remember() -> None:
    os.environ["FOVEA_BEGUN"] = "yes"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done_once(workers: int) -> None:
    assert sorted(in_parallel(square, range(40), workers, nothing)) == [(item, item * item) for item in range(40)]


def test_several_processes_work_after_a_beginning_in_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_BEGUN", "no")
    monkeypatch.setenv("FOVEA_SEEN", str(tmp_path))
    done = [result for _, result in in_parallel(process_of, range(9), 2, remember)]
    assert len({process for process, _ in done}) == 2
    assert {begun for _, begun in done} == {"yes"}


@pytest.mark.parametrize(("job", "message"), [(refuse, "item 3"), (die, "a worker process died")])
def test_error_of_the_job_is_raised(job: Callable[[int], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(in_parallel(job, range(9), 2, nothing))


def test_workers_end_when_their_parent_is_killed(tmp_path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, tmp_path / "orphans.py"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 30
    while time.monotonic() < until and any(map(lives, workers)):
        time.sleep(0.05)
    assert not any(map(lives, workers))


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
