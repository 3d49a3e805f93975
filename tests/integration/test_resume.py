"""A run that is killed and started again ends as if nothing had happened."""

import csv
from pathlib import Path

import pytest
import torch

from .conftest import LIGHT, Run, folder, gaze

STEPS = 9  # of which two make an epoch: six images, batches of four and of two


@pytest.fixture
def line(made: Path, store: Path) -> list[str]:
    return [
        *folder(made),
        *gaze(store),
        *LIGHT,
        f"trainer.max_steps={STEPS}",
        "trainer.val_check_interval=3",
        "supervision=gaze",
        "scheduler=cosine_epoch",
        "evaluate=[]",
        "callbacks.last.every_n_train_steps=1",
        "ckpt_path=auto",
    ]


def state(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def same(left: object, right: object) -> bool:
    """Whether two states are equal bit for bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def check(run: Run, line: list[str], folder: Path, kill: list[int], at: list[int]) -> None:
    """A run that is killed after each of these steps, against one that is not."""
    assert run("train", *line, f"hydra.run.dir={folder}/whole").status == 0
    for step in at:
        kill[:] = [step]
        assert "Killed" in run("train", *line, f"hydra.run.dir={folder}/killed").stderr
    kill.clear()
    assert run("train", *line, f"hydra.run.dir={folder}/killed").status == 0
    whole, killed = state(folder / "whole"), state(folder / "killed")
    assert whole.keys() == killed.keys()
    for part in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "DataModule", "global_step"):
        assert same(whole.get(part), killed.get(part)), part
    assert same(whole["fovea"]["random"], killed["fovea"]["random"])
    assert rows(folder / "whole") == rows(folder / "killed")
    best = [torch.load(folder / name / "checkpoints" / "best.ckpt", weights_only=True) for name in ("whole", "killed")]
    assert best[0]["global_step"] == best[1]["global_step"] and same(best[0]["state_dict"], best[1]["state_dict"])


def test_it_may_be_killed_at_any_step(run: Run, line: list[str], tmp_path: Path, kill: list[int]) -> None:
    check(run, line, tmp_path, kill, list(range(1, STEPS)))


@pytest.mark.parametrize(
    "options",
    [
        ["data.num_workers=1"],
        ["callbacks.last.every_n_train_steps=2"],
        ["data.drop_last=true"],
        ["+trainer.accumulate_grad_batches=2"],
        ["callbacks=ema", "callbacks.last.every_n_train_steps=1"],
        ["supervision.thresholds=[[0.4,0.6],0.3]", "supervision.ensemble=quality"],
        ["backbone=smp_deeplabv3plus", "backbone.encoder_name=resnet18", "backbone.encoder_weights=null"],  # dropout
    ],
    ids=["workers", "every", "drop_last", "accumulate", "ema", "random_levels", "dropout"],
)
def test_whatever_is_trained(run: Run, line: list[str], tmp_path: Path, kill: list[int], options: list[str]) -> None:
    line = [each for each in line if not ("deeplab" in str(options) and each.startswith("backbone"))]
    check(run, [*line, *options], tmp_path, kill, [3, 4])


def test_another_configuration_is_refused_by_its_keys(run: Run, line: list[str], tmp_path: Path) -> None:
    line = [*line, "hydra.run.dir=run"]
    assert run("train", *line).status == 0
    done = run("train", *line, "optimizer.lr=0.02", "supervision.weight=1", "trainer.max_steps=12")
    refusal = done.refusal("train")
    assert "optimizer.lr=0.01, now 0.02" in refusal and "supervision.weight=3.0, now 1" in refusal
    assert "max_steps" not in refusal
    assert state(tmp_path / "run")["global_step"] == STEPS


def test_other_images_are_refused(run: Run, line: list[str], root: Path) -> None:
    line = [*line, f"data.root={root}", "hydra.run.dir=run"]
    assert run("train", *line).status == 0
    (root / "train.txt").write_text("a\nb\nc\nd\n")
    assert "trained on other images than the 4" in run("train", *line, "trainer.max_steps=12").refusal("train")


def test_a_checkpoint_cut_short_is_refused(run: Run, line: list[str], tmp_path: Path) -> None:
    line = [*line, "hydra.run.dir=run"]
    assert run("train", *line).status == 0
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:-2000])
    assert f"{path.relative_to(tmp_path)} is no checkpoint, is cut short" in run(
        "train", *line, "trainer.max_steps=12"
    ).refusal("train")


def test_a_finished_run_stays_as_it_is(run: Run, line: list[str], tmp_path: Path) -> None:
    line = [*line, "hydra.run.dir=run"]
    assert run("train", *line).status == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.c*") if path.is_file()}
    assert run("train", *line).status == 0
    assert {path: path.read_bytes() for path in before} == before
