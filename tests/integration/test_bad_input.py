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

import numpy as np
import pytest
import torch
from PIL import Image

from .commands import LIGHT, Result, Run, environment, finished, folder, gaze, process, temporary_files

pytestmark = pytest.mark.slow

FULL = [*LIGHT, "supervision=full"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rows(root: Path) -> list[str]:
    return (root / "fixations.csv").read_text().splitlines()


class TestData:
    @pytest.mark.parametrize("command", ["simulate", "prepare", "train"])
    def test_no_such_root(self, run: Run, command: str) -> None:
        options = ["out=f.csv"] if command == "simulate" else []
        assert "no such folder nowhere" in run(command, *folder(Path("nowhere")), *options).error(command)

    def test_an_empty_folder(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty" / "images").mkdir(parents=True)
        error = run("train", *folder(tmp_path / "empty"), *FULL).error("train")
        assert "empty/images: no image in this folder" in error

    @pytest.mark.parametrize(("file", "what"), [("images/a.png", "image"), ("masks/b.png", "mask")])
    def test_a_missing_file(self, run: Run, root: Path, file: str, what: str) -> None:
        (root / file).unlink()
        error = run("train", *folder(root), *FULL).error("train")
        assert re.search(rf"1 {what} is missing from .*{what}s: {Path(file).stem};", error)

    def test_a_truncated_image_stops_training(self, run: Run, root: Path) -> None:
        truncate(root / "images" / "c.png")
        error = run("train", *folder(root), *FULL, "data.batch_size=6").error("train")
        assert "c.png" in error and "truncated" in error

    def test_a_mask_of_another_size_stops_training(self, run: Run, root: Path) -> None:
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "masks" / "d.png")
        error = run("train", *folder(root), *FULL, "data.batch_size=6").error("train")
        assert "d.png" in error and "9 x 9 pixels" in error

    def test_a_truncated_image_does_not_stop_prepare(self, run: Run, root: Path, tmp_path: Path) -> None:
        truncate(root / "images" / "c.png")
        error = run("prepare", *folder(root), *gaze(tmp_path / "store")).error("prepare")
        assert "1 image" in error and "c.png" in error
        manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
        assert list(manifest["failures"]) == ["c"]
        assert len(manifest["images"]) == len(list((tmp_path / "store" / "maps").iterdir())) == 9

    def test_a_truncated_image_does_not_stop_predict(
        self, run: Run, root: Path, checkpoint: str, tmp_path: Path
    ) -> None:
        truncate(root / "images" / "c.png")
        result = run("predict", checkpoint, f"input={root / 'images'}", f"out={tmp_path / 'out'}")
        assert "1 of 10 images failed" in result.error("predict")
        assert len(list((tmp_path / "out" / "masks").iterdir())) == 9


class TestFixations:
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
        ids=["no_column", "no_number", "no_image"],
    )
    def test_an_invalid_table_is_refused(self, run: Run, root: Path, tmp_path: Path, change, message: str) -> None:
        (root / "fixations.csv").write_text("\n".join(change(rows(root))) + "\n")
        error = run("prepare", *folder(root), *gaze(tmp_path / "store")).error("prepare")
        assert "fixations.csv" in error and message in error
        assert not (tmp_path / "store" / "manifest.json").exists()

    def test_invalid_rows_are_counted_and_left_out(self, run: Run, root: Path, tmp_path: Path) -> None:
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
        trained = run("train", *folder(root), *gaze(tmp_path / "store"), *LIGHT, "supervision=gaze")
        assert trained.status == 0, trained
        assert re.search(r"1 images? ha.* no pseudo-mask.*: b", trained.stdout)


class TestKeys:
    @pytest.mark.parametrize(
        ("typo", "name"), [("data.rooot=x", "rooot"), ("supervison=gaze", "supervison"), ("supervision=gazze", "gazze")]
    )
    def test_a_typo(self, run: Run, root: Path, typo: str, name: str) -> None:
        assert name in run("train", *folder(root), typo).error("train")

    def test_invalid_scoring_is_refused_before_training(self, run: Run, root: Path, tmp_path: Path) -> None:
        error = run("train", *folder(root), *FULL, "scoring.surface_tolerance=-1", "hydra.run.dir=run").error("train")
        assert error.startswith("scoring.surface_tolerance")
        assert not (tmp_path / "run" / "checkpoints").exists()

    def test_a_missing_store(self, run: Run, root: Path) -> None:
        error = run("train", *folder(root), *LIGHT, "supervision=gaze", "store=nowhere").error("train")
        assert "nowhere" in error and "fovea-prepare" in error

    def test_a_store_of_other_parameters(self, run: Run, root: Path, store: Path) -> None:
        error = run("train", *folder(root), *gaze(store), *LIGHT, "supervision=gaze", "labels.sigma=50").error("train")
        assert "labels.sigma is 50 here but the store has 70; " in error and "run fovea-prepare" in error


class TestCheckpoints:
    def test_of_another_model(self, run: Run, root: Path, trained: tuple[Path, Result]) -> None:
        path = trained[0] / "checkpoints" / "last.ckpt"
        error = run("train", *folder(root), *FULL, f"ckpt_path={path}").error("train")
        assert "another configuration" in error

    def test_that_is_none(self, run: Run, root: Path, tmp_path: Path) -> None:
        (tmp_path / "x.ckpt").write_text("hello")
        assert "x.ckpt" in run("evaluate", "checkpoint=x.ckpt", *folder(root)).error("evaluate")

    def test_with_an_untrusted_target(self, run: Run, root: Path, trained: tuple[Path, Result], tmp_path: Path) -> None:
        content = torch.load(trained[0] / "checkpoints" / "last.ckpt", weights_only=True)
        content["fovea"]["config"]["loss"] = {"_target_": "os.mkdir", "path": str(tmp_path / "attacked")}
        torch.save(content, tmp_path / "x.ckpt")
        error = run("predict", "checkpoint=x.ckpt", f"input={root / 'images'}", "out=out").error("predict")
        assert "os.mkdir is not trusted" in error
        assert not (tmp_path / "attacked").exists() and not (tmp_path / "out").exists()


class TestDisk:
    def test_an_unwritable_folder(self, run: Run, root: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("a file, not a folder")
        error = run("prepare", *folder(root), *gaze(tmp_path / "file" / "store")).error("prepare")
        assert "cannot write" in error and "file" in error
        assert (tmp_path / "file").read_text() == "a file, not a folder"

    def test_a_full_disk_leaves_nothing_half_written(self, root: Path, tmp_path: Path) -> None:
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

    def test_ctrl_c_ends_with_130_and_nothing_half_written(self, root: Path, tmp_path: Path) -> None:
        for number in range(800):  # work for some seconds
            os.link(root / "images" / "a.png", root / "images" / f"n{number}.png")
        first = [line for line in rows(root) if line.startswith("a")]
        more = [line.replace("a", f"n{number}", 1) for number in range(800) for line in first]
        (root / "fixations.csv").write_text("\n".join([*rows(root), *more]) + "\n")
        maps = tmp_path / "store" / "maps"
        started = process("prepare", *folder(root), *gaze(tmp_path / "store"), cwd=tmp_path)
        while started.poll() is None and not (maps.is_dir() and any(maps.glob("*.png"))):
            time.sleep(0.002)
        started.send_signal(signal.SIGINT)
        result = finished(started)
        assert result.status == 130, result
        assert "fovea-prepare: interrupted" in result.stderr
        assert not (tmp_path / "store" / "manifest.json").exists()
        assert temporary_files(tmp_path / "store") == []
