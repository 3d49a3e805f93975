"""Weights & Biases, recorded offline and read back."""

import base64
import csv
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fovea.runtime.config import config_folder

from .commands import LIGHT, STEPS, Result, Run, environment, finished, folder, gaze, invoke, process
from .wandb_records import read

pytestmark = pytest.mark.slow
TRACKED = ["logger=wandb", "logger.wandb.offline=true"]
BESIDE = (
    "+logger.tensorboard={_target_:pytorch_lightning.loggers.TensorBoardLogger,"
    "save_dir:${run_dir},name:'',version:tensorboard,default_hp_metric:false}"
)


@pytest.fixture(scope="module")
def line(dataset: Path, store: Path) -> list[str]:
    return [*folder(dataset), *gaze(store), *LIGHT, f"labels.path={dataset / 'fixations.csv'}"]


@pytest.fixture(scope="module")
def tracked(line: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train with a tag, two pictures and the checkpoint, beside TensorBoard. Read-only."""
    run = tmp_path_factory.mktemp("tracked") / "run"
    options = ["logger.wandb.tags=[first]", "sheet_rows=2", "logger.wandb.log_model=true", f"hydra.run.dir={run}"]
    options.append(BESIDE)
    result = invoke("train", *line, *TRACKED, *options)
    assert result.status == 0, result
    return run


class TestRecord:
    def test_holds_config_history_and_scores(self, tracked: Path) -> None:
        record = read(tracked)
        assert record["config"]["supervision"]["_target_"].startswith("fovea.supervision.multi_level.")
        assert record["config"]["provenance"]["git"].keys() >= {"commit", "state"}
        assert (record["job_type"], record["tags"], record["run_group"], record["exit"]) == ("train", ["first"], "", 0)
        losses = [row["train/loss"] for row in record["history"] if "train/loss" in row]
        assert len(losses) == STEPS and any("val/dice" in row for row in record["history"])
        summary = json.loads((tracked / "evaluate" / "val" / "summary.json").read_text())
        assert record["summary"]["evaluate/val/dice"] == pytest.approx(summary["dice"]["mean"])
        assert "recipe.yaml" in record["files"] and (tracked / "metrics.csv").is_file()

    def test_the_checkpoint_is_an_artifact(self, tracked: Path) -> None:
        record, checkpoint = read(tracked), tracked / "checkpoints" / "best.ckpt"
        [artifact] = record["artifacts"]
        assert (artifact.type, artifact.name) == ("model", f"model-{record['run_id']}")
        assert set(artifact.aliases) == {"latest", "best"}
        [file] = artifact.manifest.contents
        digest = base64.b64encode(hashlib.md5(checkpoint.read_bytes()).digest()).decode()
        assert (file.path, Path(file.local_path), file.digest) == ("best.ckpt", checkpoint, digest)

    def test_holds_a_curve_and_single_pictures(self, tracked: Path) -> None:
        record, evaluation = read(tracked), tracked / "evaluate" / "val"
        with (evaluation / "thresholds.csv").open() as file:
            curve = [(float(row["threshold"]), float(row["dice"])) for row in csv.DictReader(file)]
        axes = [f"evaluate/val/thresholds/{axis}" for axis in ("threshold", "dice")]
        assert [tuple(row[axis] for axis in axes) for row in record["history"] if axes[0] in row] == curve
        [pictures] = [row for row in record["history"] if "evaluate/val/images/filenames" in row]
        assert set(pictures["evaluate/val/images/filenames"]) <= set(record["files"])
        with (evaluation / "per_image.csv").open() as file:
            dice = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
        worst_first = sorted(dice, key=lambda name: (dice[name], name))
        captions = [f"{name}: Dice {dice[name]:.2f}" for name in worst_first]
        assert pictures["evaluate/val/images/captions"] == captions and len(captions) == 2
        [media] = (tracked / "wandb").glob("offline-run-*/files")
        sheet = np.array(Image.open(evaluation / "contact_sheet.png"))
        rows = [np.array(Image.open(media / name)) for name in pictures["evaluate/val/images/filenames"]]
        assert len(rows[0]) == len(rows[1])
        first = sheet[len(rows[0]) - 168 : len(rows[0]), -336:]  # two tiles of the first row
        assert (rows[0][-168:, -336:] == first).all() and (rows[1][-168:, -336:] == sheet[-168:, -336:]).all()


def test_tensorboard_has_the_same_scalars_and_the_sheet(tracked: Path) -> None:
    record, events = read(tracked), EventAccumulator(str(tracked / "tensorboard")).Reload()
    found = {(key, each.step): each.value for key in events.Tags()["scalars"] for each in events.Scalars(key)}
    expected = {(key, STEPS): value for key, value in record["summary"].items() if (key, STEPS) in found}
    for row in record["history"]:
        if "evaluate/val/thresholds/threshold" in row:
            step = round(100 * row["evaluate/val/thresholds/threshold"])
            expected["evaluate/val/thresholds/dice", step] = row["evaluate/val/thresholds/dice"]
        elif "evaluate/val/images/filenames" not in row:
            step = row["trainer/global_step"]
            expected |= {
                (key, step): value for key, value in row.items() if key[0] != "_" and key != "trainer/global_step"
            }
    names = {key for key, _ in found}
    assert found == pytest.approx(expected) and names > {"train/loss", "val/dice", "epoch"}
    summary = json.loads((tracked / "evaluate" / "val" / "summary.json").read_text())
    assert names >= {
        f"evaluate/val/{key}" for key, value in summary.items() if isinstance(value, dict) and "mean" in value
    }
    assert events.Tags()["images"] == ["evaluate/val/images"]


def test_jobs_of_a_sweep_are_one_group(run: Run, line: list[str], tmp_path: Path) -> None:
    swept = ["sweep=seeds", "seed=0,1", "trainer.max_steps=1", "hydra.sweep.dir=sweep", "evaluate=[]"]
    assert run("train", *line, *TRACKED, *swept).status == 0
    jobs = [read(tmp_path / "sweep" / job) for job in "01"]
    assert {job["run_group"] for job in jobs} == {f"{tmp_path.name}/sweep"}
    assert len({job["run_id"] for job in jobs}) == 2 and all(job["artifacts"] == [] for job in jobs)
    assert [job["config"]["seed"] for job in jobs] == [0, 1]


def test_a_failed_run_is_recorded_as_failed(run: Run, line: list[str], tmp_path: Path) -> None:
    failed = ["hydra.run.dir=failed", "callbacks.best.monitor=train/none"]
    assert run("train", *line, *TRACKED, *failed).status == 1
    assert read(tmp_path / "failed")["exit"] == 1


def test_a_missing_login_is_one_line(line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": tmp_path, "WANDB_MODE": "online", "NETRC": tmp_path / "none"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    # W&B reads the environment once in a process.
    result = finished(process("train", *line, "logger=wandb", cwd=tmp_path))
    error = result.errors[-1]
    assert result.status == 1 and "Traceback" not in result.stderr
    assert error.startswith("fovea-train: logger=wandb: No API key configured; run `wandb login`")
    assert "offline with logger.wandb.offline=true" in error


class TestAgent:
    """`wandb agent` with `configs/wandb_sweep.yaml`."""

    @pytest.fixture(scope="class")
    def sweep(self) -> dict[str, Any]:
        sweep = OmegaConf.to_container(OmegaConf.load(config_folder() / "wandb_sweep.yaml"))
        assert isinstance(sweep, dict)
        return sweep

    def words(self, sweep: dict[str, Any], values: dict[str, Any]) -> list[str]:
        """Return the command line that an agent makes of the values that its server sends."""
        from wandb.sdk.launch.sweeps.utils import create_sweep_command_args  # imports W&B: seconds

        parts = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
        parts |= {"env": ["/usr/bin/env"], "program": [sweep["program"]]}
        words = [parts.get(word[2:-1], [word]) if word.startswith("${") else [word] for word in sweep["command"]]
        return [word for several in words for word in several]

    def test_starts_the_command_with_keys_that_exist(self, sweep: dict[str, Any]) -> None:
        values = {
            key: choice.get("value", choice.get("values", [choice.get("min")])[0])
            for key, choice in sweep["parameters"].items()
        }
        env, program, *overrides = self.words(sweep, values)
        assert (env, program) == ("/usr/bin/env", "fovea-train")
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = compose("train", overrides=overrides)
        assert config.supervision.weight == values["supervision.weight"] and config.logger.wandb
        assert OmegaConf.select(config, "callbacks.best.monitor") == sweep["metric"]["name"]

    def test_names_the_run_that_it_starts(self, sweep: dict[str, Any], line: list[str], tmp_path: Path) -> None:
        values = dict(override.split("=", 1) for override in [*line, "hydra.run.dir=run", "evaluate=[]"])
        script = tmp_path / "bin" / "fovea-train"  # the installed script, with the warm Python
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec "{os.environ["FOVEA_TEST_PYTHON"]}" -m fovea.cli.train "$@"\n')
        script.chmod(0o755)
        agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "named", "WANDB_MODE": "offline"}
        agent["PATH"] = f"{script.parent}:{os.environ['PATH']}"
        words = self.words(sweep, values)
        ended = subprocess.run(words, cwd=tmp_path, env=environment() | agent, capture_output=True, text=True)
        assert ended.returncode == 0, Result(ended.returncode, ended.stdout, ended.stderr)
        record = read(tmp_path / "run")
        assert (record["run_id"], record["sweep_id"], record["exit"]) == ("named", "sweep1", 0)
        assert len([row for row in record["history"] if "train/loss" in row]) == STEPS
        assert record["config"]["optimizer"]["lr"] == 0.01
