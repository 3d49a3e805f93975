"""A run that is asked for its place saves, stops, and goes on as if nothing had happened."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from fovea.engine.callbacks.last import Last

from .conftest import KilledError, Run
from .test_resume import STEPS, check, line, state

__all__ = ["line"]  # a fixture
SELDOM = "callbacks.last.every_n_train_steps=1000"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Give it numbers of steps, and the signal comes in the middle of the step after so many."""
    at: list[int] = []
    start = Last.on_train_batch_start

    def start_and_ask(self: Last, trainer: Trainer, *args: object) -> None:
        start(self, trainer, *args)
        if trainer.global_step in at:
            signal.raise_signal(signal.SIGUSR2)

    def end(*args: object) -> None:
        raise KilledError

    monkeypatch.setattr(Last, "on_train_batch_start", start_and_ask)
    before = signal.signal(signal.SIGUSR2, end)
    yield at
    assert signal.signal(signal.SIGUSR2, before) is end  # whoever had the signal has it again


@pytest.mark.parametrize("options", [[], ["+trainer.accumulate_grad_batches=2"]], ids=["plain", "accumulate"])
def test_it_may_be_asked_at_any_step(
    run: Run, line: list[str], tmp_path: Path, ask: list[int], options: list[str]
) -> None:
    check(run, [*line, SELDOM, *options], tmp_path, ask, [0, 2, 4])


def test_it_saves_the_step_it_was_asked_in(run: Run, line: list[str], tmp_path: Path, ask: list[int]) -> None:
    ask[:] = [3]
    assert "Killed" in run("train", *line, SELDOM, "hydra.run.dir=run").stderr
    assert state(tmp_path / "run")["global_step"] == 4


def test_a_restarted_job_goes_on_whatever_it_started_from(
    run: Run, line: list[str], tmp_path: Path, ask: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [*line, "hydra.run.dir=run", "ckpt_path=null"]
    ask[:] = [3]
    assert "Killed" in run("train", *line).stderr
    ask.clear()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    done = run("train", *line)
    assert done.status == 0 and "goes on from step 4 of" in done.stdout
    assert state(tmp_path / "run")["global_step"] == STEPS


@pytest.mark.parametrize(("key", "value"), [("signals", "[SIGUSR2]"), ("agree_every_n_steps", "0")])
def test_nonsense_is_refused(run: Run, line: list[str], key: str, value: str) -> None:
    refusal = run("train", *line, f"callbacks.preemption.{key}={value}").refusal("train")
    assert refusal.startswith(f"callbacks.preemption.{key}")


def test_another_rank_of_slurm_writes_nothing_of_its_own(
    run: Run, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fovea.runtime import app as entry

    monkeypatch.setattr(entry, "first", lambda: False)
    done = run("train", *line, "data.root=nowhere", "hydra.run.dir=run")
    assert "no such folder" in done.refusal("train")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["train.log"]
    assert (tmp_path / "run" / "train.log").read_text() == ""
