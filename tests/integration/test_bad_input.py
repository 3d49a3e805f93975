"""Invalid input: refused in one line that names the file or key, or counted and left out; never half done."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .commands import LIGHT, Run, environment, finished, folder, gaze, process, temporary_files

pytestmark = pytest.mark.slow


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rows(root: Path) -> list[str]:
    return (root / "fixations.csv").read_text().splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data.rooot=x"], "rooot"),
        (["scoring.surface_tolerance=-1"], "scoring.surface_tolerance"),
        (["supervision=gaze", "store=nowhere"], "fovea-prepare"),
        (["callbacks.preemption.signals=[SIGUSR2]"], "callbacks.preemption.signals"),
        (["callbacks.preemption.signals=[KILL]"], "callbacks.preemption.signals"),
        (["trainer.precision=16-mixed"], "16-mixed"),
    ],
)
def test_a_wrong_value_is_refused_before_training(
    run: Run, dataset: Path, options: list[str], message: str, tmp_path: Path
) -> None:
    result = run("train", *folder(dataset), *LIGHT, "supervision=full", *options, "hydra.run.dir=run")
    assert message in result.error("train")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        *(
            (command, words, f"{key} must be a path, got null; set {key}=PATH")
            for command, key, words in [
                ("simulate", "out", ["out=null"]),
                ("prepare", "store", ["store=null"]),
                ("collect", "out", ["out=null"]),
                ("import_", "out", ["source=x", "format=generic", "out=null"]),
            ]
        ),
        ("simulate", ["data.root=null", "out=out"], "data.root must be a path, got null; set data.root=PATH"),
        ("prepare", ["labels.thresholds=[1.5]"], "labels.thresholds[0] must be at most 1, got 1.5"),
        ("prepare", ["labels.thresholds=[0]"], "labels.thresholds[0] must be above 0, got 0"),
        ("train", ["labels.thresholds=[1.5]"], "data.select_threshold must be at most 1, got 1.5"),
        ("train", ["data.classes=foo"], "data.classes must be a whole number, got 'foo'"),
        ("train", ["ckpt_path=foo"], "ckpt_path: no such file foo; give a last.ckpt, auto or null"),
        ("train", ["callbacks=[1,2]"], "callbacks=[1,2] is not a choice; choose default, ema"),
        ("train", ["callbacks.last=foo"], "callbacks.last must be keys with values in braces, got 'foo'"),
        ("simulate", ["observer=-1", "out=out"], "observer=-1 is not a choice; choose box, "),
        (
            "import_",
            ["source=x", "format=generic", "out=y", "format.where=-1"],
            "format.where must be keys with values",
        ),
    ],
)
def test_a_refusal_names_the_key(
    run: Run, dataset: Path, command: str, words: list[str], message: str, tmp_path: Path
) -> None:
    light = [*LIGHT, "supervision=full"] if command == "train" else []
    given = [word for word in folder(dataset) if word.partition("=")[0] != words[0].partition("=")[0]]
    error = run(command, *given, *light, *words, "hydra.run.dir=run").error(command.rstrip("_"))
    assert error.startswith(message)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["run"])


def test_a_truncated_image_stops_training_but_not_prepare(run: Run, root: Path, tmp_path: Path) -> None:
    truncate(root / "images" / "c.png")
    error = run("train", *folder(root), *LIGHT, "supervision=full", "data.batch_size=6").error("train")
    assert "c.png" in error and "truncated" in error
    truncate(root / "masks" / "d.png")
    error = run("prepare", *folder(root), *gaze(tmp_path / "store"), "quality=masks").error("prepare")
    assert "1 image" in error and "images/c.png" in error
    assert "1 masks could not be compared with their maps, which are usable: " in error and "masks/d.png" in error
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert list(manifest["failures"]) == ["c"]
    assert len(manifest["images"]) == len(list((tmp_path / "store" / "maps").iterdir())) == 9


def test_invalid_fixations_are_counted_and_left_out(run: Run, root: Path, tmp_path: Path) -> None:
    lines = rows(root)
    x = lines[0].split(",").index("CURRENT_FIX_X")
    invalid = []
    for name, value in (("a", "1.5"), ("a", "nan"), ("nobody", "0.5"), ("../../x", "0.5")):
        row = lines[1].split(",")
        row[0], row[x] = name, value
        invalid.append(",".join(row))
    kept = [line for line in lines if not line.startswith("b")]
    (root / "fixations.csv").write_text("\n".join([*kept, *invalid]) + "\n")
    result = run("prepare", *folder(root), *gaze(tmp_path / "store"))
    assert result.status == 0, result
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    reasons = ("outside_image", "not_a_number", "unknown_image", "unsafe_name")
    assert [manifest["labels"][reason] for reason in reasons] == [1, 1, 1, 1]
    assert manifest["unlabeled"] == ["b"]
    trained = run("train", *folder(root), *gaze(tmp_path / "store"), *LIGHT, "supervision=gaze", "evaluate=[]")
    assert trained.status == 0, trained
    assert re.search(r"1 images? ha.* no pseudo-mask.*: b", trained.stdout)


def test_a_full_disk_leaves_nothing_half_written(root: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "fovea.cli.prepare", *folder(root), *gaze(tmp_path / "store")],
        cwd=tmp_path,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},  # Python itself would leave half a .pyc file
        capture_output=True,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
        ),
    )
    assert ended.returncode == 1
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert temporary_files(tmp_path / "store") == []


def test_ctrl_c_ends_with_130_and_nothing_half_written(root: Path, tmp_path: Path) -> None:
    for number in range(800):  # work for some seconds
        os.link(root / "images" / "a.png", root / "images" / f"n{number}.png")
    first = [line for line in rows(root) if line.startswith("a")]
    more = [line.replace("a", f"n{number}", 1) for number in range(800) for line in first]
    (root / "fixations.csv").write_text("\n".join([*rows(root), *more]) + "\n")
    maps = tmp_path / "store" / "maps"
    started = process("prepare", *folder(root), *gaze(tmp_path / "store"), "hydra.run.dir=run", cwd=tmp_path)
    while started.poll() is None and not (maps.is_dir() and any(maps.glob("*.png"))):
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    result = finished(started)
    assert result.status == 130, result
    assert "fovea-prepare: interrupted" in result.stderr
    assert json.loads((tmp_path / "run" / "failure.json").read_text()) == {"status": "interrupted", "reason": "Ctrl-C"}
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert temporary_files(tmp_path / "store") == []
