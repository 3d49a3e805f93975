"""Evaluations compared through the real command, with test-time flips."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .commands import Result, Run, folder, gaze, invoke, summary

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flipped(checkpoint: str, dataset: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate val and test with flips. Read-only."""
    run = tmp_path_factory.mktemp("flipped") / "run"
    for split in ("val", "test"):
        options = [*folder(dataset), *gaze(store), "data.num_workers=0", "sheet_rows=0", f"split={split}", "tta=flips"]
        result = invoke("evaluate", checkpoint, *options, f"hydra.run.dir={run}")
        assert result.status == 0 and result.errors == []
    return run


@pytest.fixture
def runs(trained: tuple[Path, Result], flipped: Path, tmp_path: Path) -> Path:
    """Copy three runs: a model twice as it was trained, and once with flips."""
    for name, source in {"a": trained[0], "b": trained[0], "flips": flipped}.items():
        shutil.copytree(source / "evaluate", tmp_path / name / "evaluate")
    return tmp_path


def test_runs_are_compared_with_the_first(run: Run, runs: Path) -> None:
    result = run("evaluate", "compare={as trained: [a, b], flips: flips}", "compare_resamples=200", "out=out")
    assert result.status == 0 and result.errors == []
    summaries = [summary(runs / name / "evaluate" / "val") for name in ("a", "flips")]
    assert [each["tta"] for each in summaries] == [[], [-2, -1]]
    means = [each["dice"]["mean"] for each in summaries]
    with (runs / "out" / "comparison.csv").open() as file:
        first, second = csv.DictReader(file)
    assert [float(row["mean"]) for row in (first, second)] == pytest.approx(means, abs=2e-6)
    assert means[0] != means[1]
    assert (first["name"], first["seeds"], first["images"], first["std"]) == ("as trained", "2", "2", "0.000000")
    assert second["verdict"] == "no difference shown"  # two images cannot show one
    assert (runs / "out" / "comparison.md").read_text().splitlines()[0] in result.stdout
    assert json.loads((runs / "out" / "comparison.json").read_text())["split"] == "val"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["compare=[a,b]", "checkpoint=x.ckpt"], "set one of checkpoint=FILE"),
        (["compare=[a,b]", "split=test"], "no per_image.csv"),
        (["compare=[a,b]", "compare_on=dise"], "dise"),
        (["compare=[a,b]", "compare_alpha=5"], "compare_alpha must be below 1, got 5"),
    ],
)
def test_invalid_comparisons_are_refused(run: Run, runs: Path, line: list[str], message: str) -> None:
    assert message in run("evaluate", *line, "out=out").error("evaluate")
    assert not (runs / "out").exists()


def test_predictions_with_flips_follow_a_mirrored_image(
    run: Run, checkpoint: str, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "mirrored").mkdir()
    for path in (dataset / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(tmp_path / "mirrored" / path.name)
    for source, out in ((dataset / "images", "out"), ("mirrored", "back")):
        assert run("predict", checkpoint, f"input={source}", "tta=flips", f"out={out}").status == 0
    for path in (tmp_path / "out" / "masks").iterdir():
        mask, back = np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / "back" / "masks" / path.name))
        assert (mask != back[:, ::-1]).mean() < 0.02  # resizing rounds differently from the other side
