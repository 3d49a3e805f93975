"""Evaluations compared, and the files of a comparison."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fovea.metrics.statistics import holm, mean_interval, sign_flip_test
from fovea.report.comparison import (
    FIGURES,
    Comparison,
    Row,
    compare_runs,
    markdown,
    note,
    refuse_others,
    verdict,
    write_comparison,
)
from fovea.report.evaluations import Evaluated
from fovea.runtime.objective import lower_is_better

IDS = [f"i{number:02}" for number in range(30)]


def scores(mean: float, seed: int) -> dict[str, float]:
    """Return scores of 30 images around a mean; a hard image is hard for all seeds."""
    hard = np.random.default_rng(0).normal(0, 0.1, 30)
    return dict(zip(IDS, hard + np.random.default_rng(seed).normal(mean, 0.02, 30), strict=True))


def run(name: str, mean: float, seed: int) -> Evaluated:
    return Evaluated(Path(name), "test", "mask", scores(mean, seed), dict(zip(IDS, IDS, strict=True)))


def test_each_name_is_compared_with_the_first() -> None:
    runs = {
        "full": [run("a0", 0.8, 1), run("a1", 0.8, 2), run("a2", 0.8, 3)],
        "worse": [run("b0", 0.7, 4), run("b1", 0.72, 5)],
        "same": [run("c0", 0.8, 6)],
        "better": [run("d0", 0.9, 7)],
    }
    comparison = compare_runs(runs, "dice", 0.05, 500, seed=0)
    arrays = {name: np.array([[each.scores[i] for i in IDS] for each in named]) for name, named in runs.items()}
    differences = {name: arrays[name].mean(0) - arrays["full"].mean(0) for name in runs if name != "full"}
    p_values = {name: sign_flip_test(values, IDS, 500, 0) for name, values in differences.items()}
    corrected = dict(zip(p_values, holm([*p_values.values()]), strict=True))
    assert [(row.name, row.seeds) for row in comparison.rows] == [("full", 3), ("worse", 2), ("same", 1), ("better", 1)]
    assert comparison.rows[0].p is None and (comparison.images, comparison.patients) == (30, 30)
    for row in comparison.rows:
        means = arrays[row.name].mean(axis=1)
        assert row.mean == pytest.approx(means.mean())
        assert row.std == (pytest.approx(np.std(means, ddof=1)) if len(means) > 1 else None)
        assert (row.low, row.high) == mean_interval(arrays[row.name].mean(0), IDS, 500, 0)
        if row.name != "full":
            assert row.difference == pytest.approx(row.mean - comparison.rows[0].mean)
            ends = mean_interval(differences[row.name], IDS, 500, 0)
            assert (row.difference_low, row.difference_high) == ends
            assert (row.p, row.p_holm) == (p_values[row.name], corrected[row.name])
    assert "different numbers of seeds" in note(comparison)
    assert "Trained on some" not in note(comparison) and "Differences are to full, image" in note(comparison)
    alone = note(compare_runs({"all runs": runs["full"]}, "dice", 0.05, 100, seed=0))
    assert (
        "Differences" not in alone
        and "p:" not in alone
        and "patients (30), each with all its images; 100 resamples" in alone
    )
    assert "other masks" not in note(comparison)
    runs["full"] = [replace(each, sizes=dict.fromkeys(IDS, 0.2)) for each in runs["full"]]
    runs["same"] = [replace(runs["same"][0], training_images=7, sizes={"i00": 0.2, "i01": 0.21, "i02": 0.19})]
    assert note(compare_runs(runs, "dice", 0.05, 100, seed=0)).endswith(" 2 images have other masks in some runs.")
    assert "Trained on some of these images, which raises the score: same (7)." in note(
        compare_runs(runs, "dice", 0.05, 100, seed=0)
    )
    assert [row.verdict for row in comparison.rows] == ["baseline", "worse", "no difference shown", "better"]


def test_classes_have_a_column(tmp_path: Path) -> None:
    named = {
        name: [replace(run(f"{name}{seed}", 0.8, seed), classes={"a-b": scores(mean, seed)}) for seed in (1, 2)]
        for name, mean in {"x": 0.7, "y": 0.9}.items()
    }
    comparison = compare_runs(named | {"z": [run("z", 0.8, 3)]}, "dice", 0.05, 200, seed=0)
    write_comparison(comparison, tmp_path)
    with (tmp_path / "comparison.csv").open() as file:
        cells = [row["a-b_dice"] for row in csv.DictReader(file)]
    means = [np.mean([*scores(mean, 1).values(), *scores(mean, 2).values()]) for mean in (0.7, 0.9)]
    assert [float(cell) for cell in cells[:2]] == pytest.approx(means, abs=1e-6) and cells[2] == ""
    lines = (tmp_path / "comparison.tex").read_text().splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrlrlrrl}" and r"& dice & a-b & 95" in lines[2]
    assert {line.count("&") - line.count(r"\&") for line in lines[2:-2] if "&" in line} == {9}


def test_pairs_of_patients_show_a_difference_within_the_intervals_and_one_patient_nothing() -> None:
    runs = {"a": [run("a", 0.80, 1)], "b": [run("b", 0.82, 2)]}
    first, second = compare_runs(runs, "dice", 0.05, 500, seed=0).rows
    assert first.high and second.low and first.high > second.low and second.verdict == "better"
    runs = {name: [replace(*named, patients=dict.fromkeys(IDS, "p"))] for name, named in runs.items()}
    comparison = compare_runs(runs, "dice", 0.05, 500, seed=0)
    assert comparison.patients == 1 and comparison.rows[0].low is None and comparison.rows[1].p == 1
    assert "| no difference shown" in markdown(comparison)
    assert "No difference can be shown: p (Holm) is 1.0000 or more" in note(comparison)


@pytest.mark.parametrize(
    ("patients", "others", "told"), [(6, 1, ""), (6, 2, "0.0625"), (5, 1, "0.0625"), (15, 5, "0.0495")]
)
def test_a_table_without_power_says_so(patients: int, others: int, told: str) -> None:
    of = {image_id: f"p{place % patients}" for place, image_id in enumerate(IDS)}
    runs = {f"{place}": [replace(run(f"{place}", 0.5 + place / 10, 1), patients=of)] for place in range(others + 1)}
    comparison = compare_runs(runs, "dice", 0.049, 100, seed=0)
    least = min(row.p_holm for row in comparison.rows[1:] if row.p_holm)
    assert f"p (Holm) is {told} or more" in note(comparison) if told else "No difference can" not in note(comparison)
    assert "numbers of seeds" not in note(comparison)
    assert f"{least:.4f}" == (told or "0.0312")  # the bound is reached


def test_the_verdict_follows_the_direction() -> None:
    verdicts = [verdict(d, 0.01, 0.05, lower) for d in (0.1, -0.1) for lower in (False, True)]
    assert verdicts == ["better", "worse", "worse", "better"]
    assert verdict(0.1, 0.05, 0.05, False) == "no difference shown"
    columns = ("hd95", "cup_hd95", "dice", "level_1_dice")
    assert [lower_is_better(column) for column in columns] == [True, True, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "b: split is val, but test in a"),
        ({"select_on": "pseudo"}, "b: select_on is pseudo, but mask in a"),
        ({"unit": "mm within 2.0"}, "b: unit is mm within 2.0, but unknown in a"),
        ({"mean_of": ("cup", "disc")}, "b: scores are of cup, disc, but of one structure in a; compare the score of a"),
        ({"folder": Path("./a")}, "a: listed twice"),
        ({"patients": dict.fromkeys(IDS, "q")}, "b: has other patients than a"),
        ({"scores": {"i00": 1.0, "x": 1.0}}, r"b: 30 ids are .* \(i01, i02, i03 and 27 more\)"),
    ],
)
def test_different_evaluations_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_runs({"a": [run("a", 0.8, 1)], "b": [replace(run("b", 0.8, 2), **change)]}, "dice", 0.05, 500, seed=0)


ROWS = [
    Row("full_{1}", ["a0", "a1"], 2, 0.8, 0.01, 0.75, 0.85),
    Row("[gaze|\nx", ["b"], 1, 0.7, None, 0.65, 0.75, -0.1, -0.12, -0.08, 0.00002, 0.03, "worse"),
]
COMPARISON = Comparison(ROWS, "dice", "test", "mask", 30, 12, 0.05, 10000, 0)


def test_all_files_have_the_same_figures(tmp_path: Path) -> None:
    lines = markdown(COMPARISON).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert "0.8000 ± 0.0100 | 0.7500 to 0.8500" in lines[2] and lines[3].startswith(r"| [gaze\| x ")
    assert "| -0.1000    | -0.1200 to -0.0800 | < 0.0001 | 0.0300   | worse" in lines[3]
    write_comparison(COMPARISON, tmp_path / "out")
    refuse_others(tmp_path / "out", "comparison")  # its own files may be replaced
    assert (tmp_path / "out" / "comparison.md").read_text() == f"{markdown(COMPARISON)}\n\n{note(COMPARISON)}\n"
    with (tmp_path / "out" / "comparison.csv").open() as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == ("name", "seeds", "images", *FIGURES, "verdict")
    assert (first["name"], first["std"], first["difference"]) == ("full_{1}", "0.010000", "")
    assert (first["verdict"], second["name"], second["std"]) == ("baseline", "[gaze|\nx", "")
    assert float(second["p"]) == pytest.approx(0.00002) and float(second["difference_low"]) == -0.12
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["rows"][1]["p_holm"] == 0.03 and content["rows"][0]["folders"] == ["a0", "a1"]
    rows = (tmp_path / "out" / "comparison.tex").read_text().splitlines()
    head = r" & seeds & dice & 95 \% interval & difference & 95 \% interval & p & p (Holm) & verdict \\"
    assert rows[2] == head
    assert rows[4] == r"full\_\{1\} & 2 & 0.8000 $\pm$ 0.0100 & 0.7500 to 0.8500 &  &  &  &  & baseline \\"
    assert rows[5].startswith("{[}gaze$|$ x & ")
    assert r"& $-$0.1000 & $-$0.1200 to $-$0.0800 & $<$ 0.0001 & 0.0300 & worse \\" in rows[5]
