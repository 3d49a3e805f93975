"""Bad input: refused in one line that names the file or key, or counted and gone on from; never half done."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from .conftest import LIGHT, Outcome, Run, environment, folder, gaze, temporary_files

FULL = [*LIGHT, "supervision=full"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rows(root: Path) -> list[str]:
    return (root / "fixations.csv").read_text().splitlines()


@pytest.mark.parametrize("command", ["simulate", "prepare", "train"])
def test_no_such_data_root(run: Run, command: str) -> None:
    given = ["out=f.csv"] if command == "simulate" else []
    assert "data.root: no such folder nowhere" in run(command, *folder(Path("nowhere")), *given).refusal(command)


def test_an_empty_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty" / "images").mkdir(parents=True)
    line = run("train", *folder(tmp_path / "empty"), *FULL).refusal("train")
    assert "empty/images: no image in this folder" in line


def test_an_id_in_a_split_without_an_image(run: Run, root: Path) -> None:
    (root / "images" / "a.png").unlink()
    assert re.search(r"1 image is missing from .*images: a;", run("train", *folder(root), *FULL).refusal("train"))


def test_an_image_without_a_mask_where_one_is_needed(run: Run, root: Path) -> None:
    (root / "masks" / "b.png").unlink()
    assert re.search(r"1 mask is missing from .*masks: b;", run("train", *folder(root), *FULL).refusal("train"))


def test_a_scoring_of_no_sense_is_refused_before_training(run: Run, root: Path, tmp_path: Path) -> None:
    line = run("train", *folder(root), *FULL, "scoring.surface_tolerance=-1", "hydra.run.dir=run").refusal("train")
    assert line == "scoring.surface_tolerance=-1: give a distance, 0 or more"
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_truncated_image_stops_training(run: Run, root: Path) -> None:
    truncate(root / "images" / "c.png")
    line = run("train", *folder(root), *FULL, "data.batch_size=6").refusal("train")
    assert re.search(r"cannot decode .*c\.png: truncated; replace the file", line)


def test_a_truncated_image_does_not_stop_prepare(run: Run, root: Path, tmp_path: Path) -> None:
    truncate(root / "images" / "c.png")
    line = run("prepare", *folder(root), *gaze(tmp_path / "store")).refusal("prepare")
    assert "1 images failed, the other 9 are in" in line and "c.png" in line
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert list(manifest["failures"]) == ["c"]
    assert len(manifest["images"]) == len(list((tmp_path / "store" / "maps").iterdir())) == 9


def test_a_truncated_image_does_not_stop_predict(
    run: Run, root: Path, trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    truncate(root / "images" / "c.png")
    checkpoint = trained[0] / "checkpoints" / "best.ckpt"
    done = run("predict", f"checkpoint={checkpoint}", f"input={root / 'images'}", f"out={tmp_path / 'out'}")
    assert "1 of 10 images failed" in done.refusal("predict")
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 9


def test_a_mask_of_another_size(run: Run, root: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "masks" / "d.png")
    line = run("train", *folder(root), *FULL, "data.batch_size=6").refusal("train")
    assert "d.png is 9 x 9 pixels, but" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0].replace("CURRENT_FIX_X", "X"), *lines[1:]], "CURRENT_FIX_X"),
        (
            lambda lines: [lines[0], lines[1].replace("a,1,", "a,one,").replace("0.", "left", 1), *lines[2:]],
            "fixations",
        ),
        (lambda lines: [lines[0], *("z" + line for line in lines[1:])], "fixations"),
    ],
)
def test_a_fixation_table_that_cannot_be_read(run: Run, root: Path, tmp_path: Path, change, message: str) -> None:
    (root / "fixations.csv").write_text("\n".join(change(rows(root))) + "\n")
    line = run("prepare", *folder(root), *gaze(tmp_path / "store")).refusal("prepare")
    assert "fixations.csv" in line and message in line
    assert not (tmp_path / "store" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("typo", "named"), [("data.rooot=x", "rooot"), ("supervison=gaze", "supervison"), ("supervision=gazze", "gazze")]
)
def test_a_typo_in_a_key(run: Run, root: Path, typo: str, named: str) -> None:
    assert named in run("train", *folder(root), typo).refusal("train")


def test_a_mode_that_the_data_cannot_serve(run: Run, root: Path) -> None:
    line = run("train", *folder(root), *LIGHT, "supervision=gaze", "store=nowhere").refusal("train")
    assert "no manifest.json in nowhere: run fovea-prepare" in line


def test_a_store_made_with_other_parameters(run: Run, root: Path, store: Path) -> None:
    line = run("train", *folder(root), *gaze(store), *LIGHT, "supervision=gaze", "labels.sigma=50").refusal("train")
    assert "labels.sigma is 50.0 here but the store has 70.0; run fovea-prepare" in line


def test_a_checkpoint_of_another_model(run: Run, root: Path, trained: tuple[Path, Outcome]) -> None:
    checkpoint = trained[0] / "checkpoints" / "last.ckpt"
    line = run("train", *folder(root), *FULL, f"ckpt_path={checkpoint}").refusal("train")
    assert "is of a run with another configuration" in line


def test_a_file_that_is_no_checkpoint(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_text("hello")
    line = run("evaluate", "checkpoint=x.ckpt", *folder(root)).refusal("evaluate")
    assert "x.ckpt is no checkpoint" in line


def test_a_checkpoint_that_targets_a_function_it_should_not(
    run: Run, root: Path, trained: tuple[Path, Outcome], tmp_path: Path
) -> None:
    content = torch.load(trained[0] / "checkpoints" / "last.ckpt", weights_only=True)
    content["fovea"]["config"]["loss"] = {"_target_": "os.mkdir", "path": str(tmp_path / "attacked")}
    torch.save(content, tmp_path / "x.ckpt")
    line = run("predict", "checkpoint=x.ckpt", f"input={root / 'images'}", "out=out").refusal("predict")
    assert "os.mkdir is not trusted" in line
    assert not (tmp_path / "attacked").exists() and not (tmp_path / "out").exists()


def test_an_unwritable_folder(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    line = run("prepare", *folder(root), *gaze(tmp_path / "file" / "store")).refusal("prepare")
    assert "cannot write" in line and "file" in line
    assert (tmp_path / "file").read_text() == "here already"


def test_a_file_that_cannot_grow_leaves_nothing_half_written(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fovea.cli.prepare", *folder(root), *gaze(tmp_path / "store")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},  # Python itself would leave half a .pyc file
        capture_output=True,
        text=True,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
        ),
    )
    assert done.returncode == 1
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert temporary_files(tmp_path / "store") == []


def test_ctrl_c_ends_with_130_and_leaves_nothing_half_written(root: Path, tmp_path: Path) -> None:
    for number in range(800):  # enough to be caught at work
        os.link(root / "images" / "a.png", root / "images" / f"n{number}.png")
    first = [line for line in rows(root) if line.startswith("a")]
    more = [line.replace("a", f"n{number}", 1) for number in range(800) for line in first]
    (root / "fixations.csv").write_text("\n".join([*rows(root), *more]) + "\n")
    maps = tmp_path / "store" / "maps"
    started = subprocess.Popen(
        [sys.executable, "-m", "fovea.cli.prepare", *folder(root), *gaze(tmp_path / "store")],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    while started.poll() is None and not (maps.is_dir() and any(maps.glob("*.png"))):
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert "fovea-prepare: interrupted" in said
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert temporary_files(tmp_path / "store") == []


def test_bad_rows_are_counted_and_gone_on_from(run: Run, root: Path, tmp_path: Path) -> None:
    lines = rows(root)
    columns = lines[0].split(",")
    x = columns.index("CURRENT_FIX_X")
    example = lines[1].split(",")
    bad = []
    for name, value in (("a", "1.5"), ("a", "nan"), ("nobody", "0.5"), ("../../x", "0.5")):
        row = [*example]
        row[0], row[x] = name, value
        bad.append(",".join(row))
    kept = [line for line in lines if not line.startswith("b")]
    (root / "fixations.csv").write_text("\n".join([*kept, *bad]) + "\n")
    done = run("prepare", *folder(root), *gaze(tmp_path / "store"))
    assert done.status == 0, done
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    counts = {
        key: manifest["fixations"][key] for key in ("outside_image", "not_a_number", "unknown_image", "unsafe_name")
    }
    assert counts == dict.fromkeys(counts, 1)
    assert manifest["without_fixations"] == ["b"]
    trained = run("train", *folder(root), *gaze(tmp_path / "store"), *LIGHT, "supervision=gaze")
    assert trained.status == 0, trained
    assert "1 images have no pseudo-mask and are left out: b" in trained.stdout
