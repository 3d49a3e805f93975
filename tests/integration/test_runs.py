"""Trainings that resume, follow the published protocol, use a fraction, or come in numbers."""

import json
import re
from pathlib import Path

import pytest
import torch

from fovea.metrics.per_image import PerImage

from .commands import LIGHT, STEPS, Run, folder, gaze, last, metrics, summary

pytestmark = pytest.mark.slow


@pytest.fixture
def line(dataset: Path, store: Path) -> list[str]:
    return [*folder(dataset), *gaze(store), *LIGHT]


def test_the_published_protocol_keeps_the_last_checkpoint(run: Run, line: list[str], tmp_path: Path) -> None:
    result = run("train", *line, "data.protocol=published", "evaluate=[val,test]", "hydra.run.dir=run")
    assert result.status == 0 and result.errors == []
    assert "no val images: the result is the last checkpoint" in result.stdout
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert [path.name for path in (tmp_path / "run" / "evaluate").iterdir()] == ["test"]
    assert summary(tmp_path / "run" / "evaluate" / "test")["checkpoint"].endswith("last.ckpt")


def test_a_failed_job_does_not_stop_the_sweep(run: Run, line: list[str], tmp_path: Path) -> None:
    sweep = ["data.fraction=2,0.5", "evaluate=[]", "hydra.sweep.dir=sweep", "--multirun"]
    for _ in range(2):  # the second time without ckpt_path=auto: the first table is kept
        result = run("train", *line, *sweep)
        assert result.status == 1
        assert result.errors[-1].startswith("fovea-train: data.fraction")
        assert "job 0: data.fraction" in result.stdout and "of 3 images" in result.stdout
    job = tmp_path / "sweep" / "1"
    assert not (tmp_path / "sweep" / "0" / "checkpoints").exists() and (job / "checkpoints" / "last.ckpt").is_file()
    assert json.loads((job / "training.json").read_text())["steps"] == STEPS
    assert metrics(job) == metrics(job, "metrics.1.csv") and len(metrics(job)) >= STEPS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["optimizer.lr=1e30"], r"step \d: .*optimizer.lr=1e\+30"),
        (["+trainer.limit_train_batches=0"], "nothing is trained"),
        (["+trainer.max_time=00:00:00:00"], "nothing was trained: 0 steps"),
    ],
    ids=["nan", "no_batches", "no_steps"],
)
def test_a_failed_training_does_not_end_as_done(
    run: Run, dataset: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    error = run("train", *folder(dataset), *LIGHT, "supervision=full", *options, "hydra.run.dir=run").error("train")
    assert re.match(message, error)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not left & {"outcome.json", "training.json", "evaluate"}
    failure = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert failure == {"status": "failed", "reason": error}
    for path in (tmp_path / "run").glob("checkpoints/*.ckpt"):
        assert all(weight.isfinite().all() for weight in torch.load(path, weights_only=True)["state_dict"].values())


def test_a_moved_run_keeps_its_best_checkpoint(
    run: Run, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.2, 0.9, 0.5, 0.3])
    monkeypatch.setattr(PerImage, "compute", lambda self: {"dice": torch.tensor(next(scores))})
    line = [*folder(dataset), *LIGHT, "supervision=full", "trainer.val_check_interval=2", "ckpt_path=auto"]
    line += ["trainer.num_sanity_val_steps=0", "evaluate=[]"]
    assert run("train", *line, "trainer.max_steps=4", "hydra.run.dir=before").status == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "before").rename(tmp_path / "elsewhere" / "after")
    assert run("train", *line, "trainer.max_steps=8", "hydra.run.dir=elsewhere/after").status == 0
    best = torch.load(tmp_path / "elsewhere" / "after" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 4
    assert list(scores) == [] and last(tmp_path / "elsewhere" / "after")["global_step"] == 8
