"""Weights & Biases, recorded offline and read back."""

import base64
import csv
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from fovea.runtime.config import config_folder

from .conftest import LIGHT, STEPS, Run, environment, finished, folder, gaze, process

TRACKED = ["logger=wandb", "logger.wandb.offline=true"]
HEADER, BLOCK = 7, 32768


@pytest.fixture
def line(made: Path, store: Path) -> list[str]:
    return [*folder(made), *gaze(store), *LIGHT, f"labels.path={made / 'fixations.csv'}"]


def records(path: Path) -> Iterator[Record]:
    """The records of an offline run: a header, then blocks in which a record may be whole or the first of several."""
    content, place, whole = path.read_bytes(), HEADER, b""
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:  # too short for a chunk's own header
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole of it, or the last part
            yield Record.FromString(whole)
            whole = b""


def read(run: Path) -> dict[str, Any]:
    """What the one offline run in a run folder tells."""
    [path] = (run / "wandb").glob("offline-run-*/run-*.wandb")
    for _ in range(100):  # W&B's own process writes the end a little later
        if any(each.WhichOneof("record_type") == "exit" for each in records(path)):
            break
        time.sleep(0.1)
    told: dict[str, Any] = {
        "config": {},
        "history": [],
        "summary": {},
        "files": [],
        "artifacts": [],
        "exit": None,
        "run_group": "",
        "tags": [],
    }
    for record in records(path):
        if (kind := record.WhichOneof("record_type")) == "run":
            told |= {name: getattr(record.run, name) for name in ("run_id", "run_group", "job_type", "sweep_id")}
            told["tags"] = list(record.run.tags)
            told["config"] |= values(record.run.config.update)
        elif kind == "config":
            told["config"] |= values(record.config.update)
        elif kind == "history":
            told["history"].append(values(record.history.item))
        elif kind == "summary":
            told["summary"] |= values(record.summary.update)
        elif kind == "files":
            told["files"] += [each.path for each in record.files.files]
        elif kind == "artifact":
            told["artifacts"].append(record.artifact)
        elif kind == "exit":
            told["exit"] = record.exit.exit_code
    return told


def values(items: Any) -> dict[str, Any]:
    return {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in items}


def test_an_offline_run_holds_config_history_scores_and_pictures(run: Run, line: list[str], tmp_path: Path) -> None:
    here = ["hydra.run.dir=run", "logger.wandb.tags=[first]", "sheet_rows=2"]
    assert run("train", *line, *TRACKED, *here).status == 0
    told = read(tmp_path / "run")
    assert told["config"]["supervision"]["_target_"] == "fovea.supervision.multi_level.Gaze"
    assert told["config"]["provenance"]["git"].keys() >= {"commit", "state"}
    assert (told["job_type"], told["tags"], told["run_group"], told["exit"]) == ("train", ["first"], "", 0)
    losses = [row["train/loss"] for row in told["history"] if "train/loss" in row]
    assert len(losses) == STEPS and any("val/dice" in row for row in told["history"])
    summary = json.loads((tmp_path / "run" / "evaluate" / "val" / "summary.json").read_text())
    assert told["summary"]["evaluate/val/dice"] == pytest.approx(summary["dice"]["mean"])
    assert "recipe.yaml" in told["files"] and (tmp_path / "run" / "metrics.csv").is_file()
    assert told["artifacts"] == []


def test_an_evaluation_is_tracked_as_a_curve_and_as_pictures_of_single_images(
    run: Run, line: list[str], tmp_path: Path
) -> None:
    assert run("train", *line, *TRACKED, "hydra.run.dir=run", "sheet_rows=2").status == 0
    told, evaluation = read(tmp_path / "run"), tmp_path / "run" / "evaluate" / "val"
    with (evaluation / "thresholds.csv").open() as file:
        curve = [(float(row["threshold"]), float(row["dice"])) for row in csv.DictReader(file)]
    axes = [f"evaluate/val/thresholds/{each}" for each in ("threshold", "dice")]
    assert [tuple(row[axis] for axis in axes) for row in told["history"] if axes[0] in row] == curve
    [pictures] = [row for row in told["history"] if "evaluate/val/images/filenames" in row]
    assert set(pictures["evaluate/val/images/filenames"]) <= set(told["files"])
    with (evaluation / "per_image.csv").open() as file:
        dice = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    worst_first = sorted(dice, key=lambda name: (dice[name], name))
    captions = [f"{name}: Dice {dice[name]:.2f}" for name in worst_first]
    assert pictures["evaluate/val/images/captions"] == captions and len(captions) == 2
    [folder_] = (tmp_path / "run" / "wandb").glob("offline-run-*/files")
    sheet = np.array(Image.open(evaluation / "contact_sheet.png"))
    drawn = [np.array(Image.open(folder_ / name)) for name in pictures["evaluate/val/images/filenames"]]
    assert [len(each) for each in drawn] == [len(drawn[0])] * 2
    first = sheet[len(drawn[0]) - 168 : len(drawn[0]), -336:]  # two tiles of the first row
    assert (drawn[0][-168:, -336:] == first).all() and (drawn[1][-168:, -336:] == sheet[-168:, -336:]).all()


def test_the_jobs_of_a_sweep_are_runs_of_one_group_and_a_failed_one_says_so(
    run: Run, line: list[str], tmp_path: Path
) -> None:
    swept = ["sweep=seeds", "seed=0,1", "loss=bce,dice", "hydra.sweep.dir=sweep", "evaluate=[]"]
    broken = ["+supervision.nothing=1"]
    assert run("train", *line, *TRACKED, *swept).status == 0
    told = [read(tmp_path / "sweep" / job) for job in "0123"]
    assert {each["run_group"] for each in told} == {f"{tmp_path.name}/sweep"}
    assert len({each["run_id"] for each in told}) == 4
    assert [each["config"]["seed"] for each in told] == [0, 0, 1, 1]
    assert run("train", *line, *TRACKED, *broken, "hydra.run.dir=broken").status == 1
    assert not (tmp_path / "broken" / "wandb").exists()  # refused before there was a run
    damaged = ["evaluate=[val]", "hydra.run.dir=damaged", "callbacks.last.dirpath=/proc/nowhere"]
    assert run("train", *line, *TRACKED, *damaged).status == 1
    assert read(tmp_path / "damaged")["exit"] == 1


@pytest.mark.parametrize(("protocol", "name"), [("clean", "best.ckpt"), ("published", "last.ckpt")])
def test_the_checkpoint_goes_along_offline_too(
    protocol: str, name: str, run: Run, line: list[str], tmp_path: Path
) -> None:
    given = ["logger.wandb.log_model=true", f"data.protocol={protocol}", "evaluate=[]", "hydra.run.dir=run"]
    assert run("train", *line, *TRACKED, *given).status == 0
    told, checkpoint = read(tmp_path / "run"), tmp_path / "run" / "checkpoints" / name
    [artifact] = told["artifacts"]
    assert (artifact.type, artifact.name) == ("model", f"model-{told['run_id']}")
    assert set(artifact.aliases) == {"latest", name.removesuffix(".ckpt")}
    [file] = artifact.manifest.contents
    digest = base64.b64encode(hashlib.md5(checkpoint.read_bytes()).digest()).decode()
    assert (file.path, Path(file.local_path), file.digest) == (name, checkpoint, digest)


def test_who_is_not_logged_in_is_told_how(line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": tmp_path, "WANDB_MODE": "online", "NETRC": tmp_path / "none"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    # in a process of its own, since W&B keeps what the environment said first
    done = finished(process("train", *line, "logger=wandb", cwd=tmp_path))
    refusal = done.complaints[-1]
    assert done.status == 1 and "Traceback" not in done.stderr
    assert (
        refusal.startswith("fovea-train: logger=wandb: No API key configured; run `wandb login`")
        and "offline with logger.wandb.offline=true" in refusal
    )


def test_the_second_process_of_a_run_tracks_nothing(line: list[str], tmp_path: Path) -> None:
    two = ["compute=ddp", "trainer.devices=2", "evaluate=[]", "hydra.run.dir=two"]
    done = finished(process("train", *line, *TRACKED, *two, cwd=tmp_path))
    assert done.status == 0, done
    assert len([row for row in read(tmp_path / "two")["history"] if "train/loss" in row]) == STEPS


def agent_line(values: dict[str, Any]) -> list[str]:
    """The command line that an agent makes of `wandb_sweep.yaml` and of the values that its server gives it."""
    sweep = OmegaConf.to_container(OmegaConf.load(config_folder() / "wandb_sweep.yaml"))
    assert isinstance(sweep, dict)
    parts = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    known = parts | {"env": ["/usr/bin/env"], "program": [sweep["program"]]}
    words = [known.get(each[2:-1], [each]) if each.startswith("${") else [each] for each in sweep["command"]]
    return [word for found in words for word in found]


def test_the_sweep_of_an_agent_drives_the_command() -> None:
    sweep = OmegaConf.to_container(OmegaConf.load(config_folder() / "wandb_sweep.yaml"))
    values = {
        key: each.get("value", each.get("values", [each.get("min")])[0]) for key, each in sweep["parameters"].items()
    }
    env, program, *overrides = agent_line(values)
    assert (env, program) == ("/usr/bin/env", "fovea-train")
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", overrides=overrides)
    assert config.supervision.weight == values["supervision.weight"] and config.logger.wandb
    assert OmegaConf.select(config, "callbacks.best.monitor") == sweep["metric"]["name"]


def test_what_an_agent_starts_is_the_run_that_the_agent_named(line: list[str], tmp_path: Path) -> None:
    values = dict(each.split("=", 1) for each in [*line, "hydra.run.dir=run", "evaluate=[]"])
    agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "named", "WANDB_MODE": "offline"}
    scripts = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        agent_line(values), cwd=tmp_path, env=environment() | agent | scripts, capture_output=True, text=True
    )
    assert done.returncode == 0, done
    told = read(tmp_path / "run")
    assert (told["run_id"], told["sweep_id"], told["exit"]) == ("named", "sweep1", 0)
    assert len([row for row in told["history"] if "train/loss" in row]) == STEPS
    assert told["config"]["optimizer"]["lr"] == 0.01
