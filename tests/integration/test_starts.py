"""Each command in a process of its own, and what it imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import LIGHT, Outcome, environment, finished, folder, gaze, process

COMMANDS = ("simulate", "import_", "prepare", "train", "evaluate", "predict", "report")
# A fixation table of our own, read as somebody's.
OWN_TABLE = [
    "format=generic",
    "format.unit=fraction",
    *(f"format.columns.{key}={name}" for key, name in {"image": "IMAGE", "start": "CURRENT_FIX_START"}.items()),
    *(f"format.columns.{key}=CURRENT_FIX_{key.upper()}" for key in ("x", "y", "duration", "pupil")),
]
SEVERAL = """
import importlib, json, os, sys
from hydra.core.global_hydra import GlobalHydra
for command, *arguments in json.loads(sys.argv[1]):
    GlobalHydra.instance().clear()
    os.environ.pop("HYDRA_FULL_ERROR", None)
    sys.argv = [command, *arguments]
    try:
        importlib.import_module(f"fovea.cli.{command}").main()
    except SystemExit as end:
        print("status", end.code)
print("heavy", *sorted({"torch", "pytorch_lightning", "monai", "torchmetrics", "wandb"} & set(sys.modules)))
"""


def several(lines: list[list[str]], cwd: Path) -> tuple[str, set[str]]:
    """Run commands in one fresh process: what it printed, and the heavy libraries it has at its end."""
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, json.dumps(lines)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    said, _, heavy = done.stdout.rpartition("heavy")
    return said + done.stderr, set(heavy.split())


def test_help_simulate_import_and_prepare_start_without_torch(root: Path, tmp_path: Path) -> None:
    lines = [[command, "--help"] for command in COMMANDS]
    lines.append(["simulate", *folder(root), "out=simulated.csv"])
    lines.append(["import_", "source=simulated.csv", *OWN_TABLE, "out=fixations.csv"])
    lines.append(["prepare", *folder(root), *gaze(tmp_path / "store"), "labels.path=fixations.csv"])
    said, heavy = several(lines, tmp_path)
    assert said.count("== Configuration groups ==") == len(COMMANDS) == said.count("status 0")
    assert (tmp_path / "store" / "manifest.json").is_file()
    assert heavy == set()


def test_a_comparison_starts_without_torch(tmp_path: Path) -> None:
    for name, dice in {"a": 0.5, "b": 0.7}.items():
        folder_ = tmp_path / name / "evaluate" / "val"
        folder_.mkdir(parents=True)
        rows = "".join(f"i{number},{dice + number / 100}\n" for number in range(12))
        (folder_ / "per_image.csv").write_text("id,dice\n" + rows)
        (folder_ / "summary.json").write_text('{"split": "val", "select_on": "mask"}')
    said, heavy = several([["evaluate", "compare=[a,b]", "out=out"]], tmp_path)
    assert "| b | 1     | 0.7550 |" in said and "better" in said
    assert (tmp_path / "out" / "comparison.md").is_file()
    assert heavy == set()


def test_training_looks_at_the_data_before_it_imports_lightning(made: Path, tmp_path: Path) -> None:
    lines = [
        ["train", "data=folder", "data.root=nowhere"],
        ["train", "supervision=gazze"],
        ["train", *folder(made), "store=nowhere"],
        ["train", *folder(made), "supervision=full", "evaluate=[nowhere]"],
    ]
    said, heavy = several(lines, tmp_path)
    assert said.count("status 1") == len(lines)
    assert heavy <= {"torch"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs_as_a_process(
    command: str, made: Path, store: Path, trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    checkpoint = f"checkpoint={trained[0] / 'checkpoints' / 'best.ckpt'}"
    arguments = {
        "simulate": [*folder(made), "out=out"],
        "import_": [f"source={made / 'fixations.csv'}", *OWN_TABLE, "out=out"],
        "prepare": [*folder(made), *gaze(tmp_path / "out")],
        "train": [*folder(made), *gaze(store), *LIGHT, "hydra.run.dir=out"],
        "evaluate": [checkpoint, *folder(made), *gaze(store), "data.num_workers=0", "out=out"],
        "predict": [checkpoint, f"input={made / 'images'}", "out=out"],
        "report": [f"runs={trained[0]}", "resamples=100", "out=out"],
    }
    done = finished(process(command, *arguments[command], cwd=tmp_path))
    assert done.status == 0 and done.complaints == [], done
    assert (tmp_path / "out").exists()
