"""Checkpoints of the version before classes and keys moved give the same scores.

`tests/reference/before_the_move` has the checkpoints (without the state of the optimizer), the images and volumes that
version scored them on, and its scores.
"""

import csv
import json
from pathlib import Path

import pytest

from .commands import invoke

pytestmark = pytest.mark.slow
OLD = Path(__file__).parents[1] / "reference" / "before_the_move"
LINES = {
    "images": ["data=folder"],
    "volumes": [
        "data=paired_volumes",
        "data.modalities=[bright,dark]",
        "data.spacing=[2.0,2.0,6.0]",
        "+data.intensity.bright=${data.intensity.mri}",
        "+data.intensity.dark=${data.intensity.mri}",
    ],
}


def rows(path: Path) -> dict[str, dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        table = {row.pop("id"): row for row in csv.DictReader(file)}
    return {name: {key: float(value) for key, value in row.items() if key != "patient"} for name, row in table.items()}


@pytest.mark.parametrize("data", ["images", "volumes"])
def test_scores_are_the_same(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = [f"checkpoint={OLD / data}.ckpt", f"data.root={OLD / data}", "data.num_workers=0", "split=test", "out=out"]
    done = invoke("evaluate", *line, *LINES[data], "sheet_rows=0", "device=cpu")
    assert done.status == 0, done
    then = json.loads((OLD / f"{data}.summary.json").read_text())
    now = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert then["dice"]["mean"] > 0.2
    for score in ("dice", "iou", "hd95"):
        assert now[score]["mean"] == pytest.approx(then[score]["mean"], abs=1e-6)
    before, after = rows(OLD / f"{data}.per_image.csv"), rows(tmp_path / "out" / "per_image.csv")
    assert after.keys() == before.keys()
    for name, scores in before.items():
        kept = {key: value for key, value in scores.items() if key != "surface_dice"}
        assert {key: after[name][key] for key in kept} == pytest.approx(kept, abs=1e-5)
