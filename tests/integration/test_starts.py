"""How commands start: what they import, and as new processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import LIGHT, Result, environment, finished, folder, gaze, process

pytestmark = pytest.mark.slow
COMMANDS = ("simulate", "collect", "import_", "prepare", "train", "evaluate", "predict", "report", "export")
# Read our own fixation table as an unknown one.
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
    """Run commands in one new process; return what it printed, and which heavy libraries it imported."""
    program = [sys.executable, "-c", SEVERAL, json.dumps(lines)]
    ended = subprocess.run(program, cwd=cwd, env=environment(), capture_output=True, text=True, check=True)
    printed, _, heavy = ended.stdout.rpartition("heavy")
    return printed + ended.stderr, set(heavy.split())


def test_help_and_data_commands_import_no_torch(root: Path, trained: tuple[Path, Result], tmp_path: Path) -> None:
    for name, dice in {"a": 0.5, "b": 0.7}.items():
        evaluation = tmp_path / name / "evaluate" / "val"
        evaluation.mkdir(parents=True)
        rows = "".join(f"i{number},p{number},{dice + number / 100}\n" for number in range(12))
        (evaluation / "per_image.csv").write_text("id,patient,dice\n" + rows)
        (evaluation / "summary.json").write_text('{"split": "val", "select_on": "mask"}')
    lines = [[command, "--help"] for command in COMMANDS]
    lines.append(["simulate", *folder(root), "out=simulated.csv"])
    lines.append(["collect", *folder(root), "out=collected"])
    lines.append(["import_", "source=simulated.csv", *OWN_TABLE, "out=fixations.csv"])
    lines.append(["prepare", *folder(root), *gaze(tmp_path / "store"), "labels.path=fixations.csv"])
    lines.append(["evaluate", "compare=[a,b]", "out=compared"])
    lines.append(["report", f"runs={trained[0]}", "out=report", "resamples=100"])
    printed, heavy = several(lines, tmp_path)
    assert printed.count("Keys that matter:") == len(COMMANDS)
    assert (tmp_path / "store" / "manifest.json").is_file()
    assert "| b | 1     | 0.7550 |" in printed and (tmp_path / "compared" / "comparison.md").is_file()
    assert (tmp_path / "report" / "report.html").is_file()
    assert heavy == set()


def test_train_checks_data_before_it_imports_lightning(dataset: Path, tmp_path: Path) -> None:
    lines = [
        ["train", "data=folder", "data.root=nowhere"],
        ["train", "supervision=gazze"],
        ["train", *folder(dataset), "store=nowhere"],
        ["train", *folder(dataset), "supervision=full", "evaluate=[nowhere]"],
    ]
    printed, heavy = several(lines, tmp_path)
    assert printed.count("status 1") == len(lines)
    assert heavy <= {"torch"}


def test_commands_run_as_new_processes(dataset: Path, store: Path, tmp_path: Path) -> None:
    prepare = process("prepare", *folder(dataset), *gaze(tmp_path / "out"), cwd=tmp_path, cold=True)
    train = process(
        "train", *folder(dataset), *gaze(store), *LIGHT, "hydra.run.dir=run", "evaluate=[]", cwd=tmp_path, cold=True
    )
    for result in map(finished, (prepare, train)):
        assert result.status == 0 and result.errors == [], result
    assert (tmp_path / "out" / "manifest.json").is_file() and (tmp_path / "run" / "outcome.json").is_file()
