"""Evaluations compared through the real command, and test-time flips on the way."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Outcome, Run, folder, gaze, invoke, summary


@pytest.fixture(scope="module")
def evaluated(trained: tuple[Path, Outcome], made: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with evaluations of val and train that were made with flips. Read-only."""
    folder_ = tmp_path_factory.mktemp("evaluated") / "flips"
    checkpoint = f"checkpoint={trained[0] / 'checkpoints' / 'best.ckpt'}"
    for split in ("val", "train"):
        given = [*folder(made), *gaze(store), "data.num_workers=0", "sheet_rows=0", f"split={split}", "tta=flips"]
        done = invoke("evaluate", checkpoint, *given, f"hydra.run.dir={folder_}")
        assert done.status == 0 and done.complaints == []
    return folder_


@pytest.fixture
def runs(trained: tuple[Path, Outcome], evaluated: Path, tmp_path: Path) -> Path:
    """Three runs: a model twice as it was trained, and once as read with flips."""
    for name, source in {"a": trained[0], "b": trained[0], "flips": evaluated}.items():
        shutil.copytree(source / "evaluate", tmp_path / name / "evaluate")
    return tmp_path


def test_runs_are_compared_with_the_first(run: Run, runs: Path) -> None:
    done = run("evaluate", "compare={as trained: [a, b], flips: flips}", "compare_resamples=200", "out=out")
    assert done.status == 0 and done.complaints == []
    assert [summary(runs / name / "evaluate" / "val")["tta"] for name in ("a", "flips")] == [[], [-2, -1]]
    with (runs / "out" / "comparison.csv").open() as file:
        first, second = csv.DictReader(file)
    means = [summary(runs / name / "evaluate" / "val")["dice"]["mean"] for name in ("a", "flips")]
    assert [float(row["mean"]) for row in (first, second)] == pytest.approx(means, abs=2e-6)
    assert means[0] != means[1]
    assert (first["name"], first["seeds"], first["images"], first["std"]) == ("as trained", "2", "2", "0.000000")
    assert second["verdict"] == "no difference shown"  # two images show nothing
    assert (runs / "out" / "comparison.md").read_text().splitlines()[0] in done.stdout
    assert json.loads((runs / "out" / "comparison.json").read_text())["split"] == "val"


def test_a_column_and_the_levels_of_significance_are_keys(run: Run, runs: Path) -> None:
    line = ["compare=[a,flips]", "compare_on=level_2_iou", "compare_alpha=0.1", "compare_resamples=100", "seed=3"]
    assert run("evaluate", *line, "out=out").status == 0
    found = json.loads((runs / "out" / "comparison.json").read_text())
    assert [found[key] for key in ("column", "alpha", "resamples", "seed")] == ["level_2_iou", 0.1, 100, 3]
    assert found["rows"][0]["mean"] == pytest.approx(
        summary(runs / "a" / "evaluate" / "val")["levels"]["level_2"]["iou"]["mean"], abs=1e-6
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "checkpoint is not given: checkpoint=FILE evaluates one, 'compare=[RUN,RUN]' compares"),
        (["compare=[a,b]", "checkpoint=x.ckpt"], "checkpoint and compare are both given"),
        (["compare=[a]"], "nothing to compare"),
        (["compare=[a,nowhere]"], "nowhere: no per_image.csv here or in evaluate/val"),
        (["compare=[a,b]", "split=test"], "a: no per_image.csv here or in evaluate/test"),
        (["compare=[a/evaluate/val,flips/evaluate/train]"], "flips/evaluate/train: split is train, but val in"),
        (["compare=[a,b]", "compare_on=dise"], "no column dise; choose a score of dice, iou"),
        (["compare=[a,b]", "compare_alpha=5"], "alpha must be in (0, 1), got 5"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(run: Run, runs: Path, line: list[str], message: str) -> None:
    assert message in run("evaluate", *line, "out=out").refusal("evaluate")
    assert not (runs / "out").exists()


def test_flips_are_predicted_too(run: Run, trained: tuple[Path, Outcome], made: Path, tmp_path: Path) -> None:
    """A prediction with flips is mirrored where the image is."""
    (tmp_path / "mirrored").mkdir()
    for path in (made / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(tmp_path / "mirrored" / path.name)
    checkpoint = f"checkpoint={trained[0] / 'checkpoints' / 'best.ckpt'}"
    for source, out in ((made / "images", "out"), ("mirrored", "back")):
        assert run("predict", checkpoint, f"input={source}", "tta=flips", f"out={out}").status == 0
    for path in (tmp_path / "out" / "masks").iterdir():
        there, back = np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / "back" / "masks" / path.name))
        assert (there != back[:, ::-1]).mean() < 0.02  # resizing rounds differently from the other side
