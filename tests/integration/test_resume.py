"""A training that is killed or preempted, and resumed, ends exactly as one that is not."""

import json
import signal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from fovea.engine import evaluate
from fovea.engine.callbacks.last import Last

from .commands import LIGHT, Run, folder, gaze, last, metrics, same, same_weights

pytestmark = pytest.mark.slow

STEPS = 9  # two make an epoch: six images, batches of four and of two
EPOCHS = ["trainer.val_check_interval=1.0", "trainer.check_val_every_n_epoch=1"]
SELDOM = "callbacks.last.every_n_train_steps=1000"
STOP = "{_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val/dice, mode: max, min_delta: 1, patience: 1}"


@pytest.fixture
def line(dataset: Path, store: Path) -> list[str]:
    """Return the overrides of a training that saves after each step, and resumes."""
    return [
        *folder(dataset),
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


def check(run: Run, line: list[str], folder: Path, interrupt: list[int], steps: list[int]) -> None:
    """Compare a run that is interrupted after each of these steps with one that is not."""
    assert run("train", *line, f"hydra.run.dir={folder}/whole").status == 0
    for step in steps:
        interrupt[:] = [step]
        assert "Killed" in run("train", *line, f"hydra.run.dir={folder}/killed").stderr
    interrupt.clear()
    assert run("train", *line, f"hydra.run.dir={folder}/killed").status == 0
    whole, killed = last(folder / "whole"), last(folder / "killed")
    assert whole.keys() == killed.keys()
    for part in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "DataModule", "global_step"):
        assert same(whole.get(part), killed.get(part)), part
    assert same(whole["fovea"]["random"], killed["fovea"]["random"])
    assert metrics(folder / "whole") == metrics(folder / "killed")
    best = [torch.load(folder / name / "checkpoints" / "best.ckpt", weights_only=True) for name in ("whole", "killed")]
    assert best[0]["global_step"] == best[1]["global_step"] and same(best[0]["state_dict"], best[1]["state_dict"])


class TestKilled:
    def test_at_any_step(self, run: Run, line: list[str], tmp_path: Path, kill: list[int]) -> None:
        check(run, line, tmp_path, kill, list(range(1, STEPS)))

    @pytest.mark.parametrize(
        "options",
        [
            ["data.num_workers=1", "callbacks.last.every_n_train_steps=2", "data.drop_last=true"],
            ["data.batch_size=2", "+trainer.accumulate_grad_batches=2"],  # the last step of an epoch accumulates one
            [f"+callbacks.stop={STOP.replace('1}', '2}')}", *EPOCHS],
            ["callbacks=ema", "callbacks.last.every_n_train_steps=1", "supervision.thresholds=[[0.4,0.6],0.3]"],
            ["supervision=teacher", "supervision.confidence=0.5"],
            ["supervision=copy_paste", "data.labeled_fraction=0.5"],  # unlabeled cases come in at step 2.25 of 9
            [  # dropout
                "backbone=smp",
                "backbone.network._target_=segmentation_models_pytorch.Segformer",
                "backbone.encoder_name=tu-mobilenetv3_small_100",
                "backbone.encoder_weights=null",
            ],
        ],
        ids=[
            "workers",
            "accumulate",
            "early_stopping_by_epoch",
            "ema_and_drawn_thresholds",
            "teacher",
            "copy_paste",
            "dropout",
        ],
    )
    def test_with(self, run: Run, line: list[str], tmp_path: Path, kill: list[int], options: list[str]) -> None:
        line = [key for key in line if not ("Segformer" in str(options) and key.startswith("backbone"))]
        check(run, [*line, *options], tmp_path, kill, [3, 4])

    @pytest.mark.usefixtures("as_in_a_shell")
    def test_by_signals_in_a_step_and_in_the_evaluation_at_the_end(
        self, run: Run, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = [*line, "evaluate=[val]", "callbacks.last.every_n_train_steps=2"]
        assert run("train", *line, "hydra.run.dir=whole").status == 0
        start, draw = Last.on_train_batch_start, evaluate.contact_sheet

        def start_and_signal(self: Last, trainer: Trainer, *args: object) -> None:
            start(self, trainer, *args)
            if trainer.global_step == 3 and place == "step":
                signal.raise_signal(sent)

        def draw_or_signal(*args: Any) -> Any:
            return signal.raise_signal(sent) if place == "evaluation" else draw(*args)

        monkeypatch.setattr(Last, "on_train_batch_start", start_and_signal)
        monkeypatch.setattr(evaluate, "contact_sheet", draw_or_signal)
        names = {signal.SIGINT: "", signal.SIGHUP: " by SIGHUP", signal.SIGTERM: " by SIGTERM"}
        for place, sent in product(("step", "evaluation"), names):  # SIGTERM lets the step end
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the end of a command resets it
            result = run("train", *line, "hydra.run.dir=killed")
            hint = "the same command with hydra.run.dir=killed ckpt_path=auto resumes it"
            assert result.status == 128 + sent
            assert result.errors[-1] == f"fovea-train: interrupted{names[sent]}; {hint}"
            failure = json.loads((tmp_path / "killed" / "failure.json").read_text())
            reason = sent.name if place == "step" and sent != signal.SIGINT else "Ctrl-C"
            assert failure == {"status": "interrupted", "reason": reason}  # of a training that ended, the first stays
        place = ""
        assert run("train", *line, "hydra.run.dir=killed").status == 0
        assert not (tmp_path / "killed" / "failure.json").exists()
        assert same_weights(tmp_path / "killed", tmp_path / "whole")
        assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


class TestPreempted:
    @pytest.mark.parametrize(
        "options", [[], ["+trainer.accumulate_grad_batches=2", *EPOCHS]], ids=["plain", "accumulate_by_epoch"]
    )
    def test_at_any_step(
        self, run: Run, line: list[str], tmp_path: Path, preempt: list[int], options: list[str]
    ) -> None:
        check(run, [*line, SELDOM, *options], tmp_path, preempt, [0, 3])

    def test_restarted_job_resumes_without_ckpt_path(
        self, run: Run, line: list[str], tmp_path: Path, preempt: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = [*line, "hydra.run.dir=run", "ckpt_path=null"]
        preempt[:] = [3]
        assert "Killed" in run("train", *line, SELDOM).stderr
        assert last(tmp_path / "run")["global_step"] == 4  # the step in progress is saved
        failure = json.loads((tmp_path / "run" / "failure.json").read_text())
        assert failure == {"status": "interrupted", "reason": "SIGUSR2: saved at step 4"}
        preempt.clear()
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        result = run("train", *line, SELDOM)
        assert result.status == 0 and "step 4 of" in result.stdout
        assert not (tmp_path / "run" / "failure.json").exists()
        assert last(tmp_path / "run")["global_step"] == STEPS

    def test_another_rank_writes_its_log_alone(
        self, run: Run, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fovea.runtime import job, record

        for module in (job, record):
            monkeypatch.setattr(module, "first", lambda: False)
        result = run("train", *line, "data.root=nowhere", "hydra.run.dir=run")
        assert "no such folder" in result.error("train")
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["train.log"]
        assert (tmp_path / "run" / "train.log").read_text() == ""


def test_a_finished_run_stays_unchanged_and_refuses_others(
    run: Run, line: list[str], root: Path, tmp_path: Path
) -> None:
    line = [*line, f"data.root={root}", "hydra.run.dir=run"]
    assert run("train", *line).status == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.c*") if path.is_file()}
    assert run("train", *line).status == 0
    assert {path: path.read_bytes() for path in before} == before
    record = {
        path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix != ".log" and path.is_file()
    }
    error = run("train", *line, "optimizer.lr=0.02", "supervision.weight=1", "trainer.max_steps=12").error("train")
    assert "optimizer.lr=0.01, now 0.02" in error and "supervision.weight=3.0, now 1" in error
    assert "max_steps" not in error and last(tmp_path / "run")["global_step"] == STEPS
    assert {path: path.read_bytes() for path in record} == record and not (tmp_path / "run" / "failure.json").exists()
    fewer = run("train", *line, "trainer.max_steps=2").error("train")
    assert f"run/checkpoints/last.ckpt has {STEPS} steps already; set at least {STEPS}" in fewer
    (root / "train.txt").write_text("a\nb\nc\nd\n")
    assert "trained on other images" in run("train", *line, "trainer.max_steps=12").error("train")
    assert "run/outcome.json: the run trained on other images" in run("train", *line).error("train")


def test_a_training_in_the_folder_of_an_earlier_one_sets_its_results_aside(
    run: Run, line: list[str], tmp_path: Path, kill: list[int]
) -> None:
    line = [*line, "ckpt_path=null", "evaluate=[val]", "hydra.run.dir=run"]
    folder = tmp_path / "run"
    assert run("train", *line).status == 0
    threads = json.loads((folder / "provenance.json").read_text())["threads"]
    assert threads == torch.get_num_threads()
    scores = (folder / "evaluate" / "val" / "per_image.csv").read_bytes()
    kill[:] = [4]
    assert "Killed" in run("train", *line, "seed=1").stderr
    assert not [name for name in ("training.json", "outcome.json", "evaluate") if (folder / name).exists()]
    assert (folder / "evaluate.1" / "val" / "per_image.csv").read_bytes() == scores
    assert (folder / "checkpoints.1" / "best.ckpt").is_file()


def test_a_training_that_has_ended_is_not_continued_and_its_record_is_completed(
    run: Run, line: list[str], tmp_path: Path, preempt: list[int]
) -> None:
    line = [*line, f"+callbacks.stop={STOP}", "hydra.run.dir=run"]  # ends after the second validation
    path, facts = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "run" / "training.json"
    preempt[:] = [5]  # the signal comes in its last step
    assert "Killed" in run("train", *line).stderr and not facts.exists()
    torch.save((state := last(path.parent.parent)) | {"fovea": state["fovea"] | {"seconds": 1000.0}}, path)
    preempt.clear()
    assert run("train", *line).status == 0
    assert last(tmp_path / "run")["global_step"] == 6 and json.loads(facts.read_text())["steps"] == 6
    assert 1000 <= json.loads(facts.read_text())["seconds"] < 1100  # those before the interruption count
    before = facts.read_bytes()
    assert run("train", *line, "evaluate=[val]").status == 0
    assert last(tmp_path / "run")["global_step"] == 6 and facts.read_bytes() == before
