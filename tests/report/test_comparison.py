"""Evaluations as files: read, compared, refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fovea.metrics.paired import holm, interval, sign_flip_test
from fovea.report.comparison import Evaluated, compare, lower_is_better, read_evaluation, read_runs, verdict

IDS = [f"i{number:02}" for number in range(30)]


def scores(mean: float, seed: int) -> dict[str, float]:
    """Scores of 30 images around a mean; what is hard is hard for all."""
    hard = np.random.default_rng(0).normal(0, 0.1, 30)
    own = np.random.default_rng(seed).normal(mean, 0.02, 30)
    return dict(zip(IDS, hard + own, strict=True))


def run(name: str, mean: float, seed: int) -> Evaluated:
    return Evaluated(Path(name), "test", "mask", scores(mean, seed))


def written(folder: Path, found: dict[str, float], split: str = "test", select_on: str = "mask") -> Path:
    """The files of an evaluation, as far as a comparison reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["id,dice,level_1_dice", *(f"{name},{value:.6f},0.5" for name, value in found.items())]
    (folder / "per_image.csv").write_text("\n".join(lines) + "\n")
    (folder / "summary.json").write_text(json.dumps({"split": split, "select_on": select_on, "n": len(found)}))
    return folder


def test_seeds_are_averaged_and_names_compared_with_the_first() -> None:
    runs = {
        "full": [run("a0", 0.8, 1), run("a1", 0.8, 2), run("a2", 0.8, 3)],
        "worse": [run("b0", 0.7, 4), run("b1", 0.72, 5)],
        "same": [run("c0", 0.8, 6)],
        "better": [run("d0", 0.9, 7)],
    }
    found = compare(runs, "dice", 0.05, 500, seed=0)

    arrays = {name: np.array([[each.scores[key] for key in IDS] for each in listed]) for name, listed in runs.items()}
    differences = {name: arrays[name].mean(0) - arrays["full"].mean(0) for name in runs if name != "full"}
    p_values = {name: sign_flip_test(values, 500, 0) for name, values in differences.items()}
    corrected = dict(zip(p_values, holm([*p_values.values()]), strict=True))
    assert [row.name for row in found.rows] == ["full", "worse", "same", "better"]
    assert [row.seeds for row in found.rows] == [3, 2, 1, 1]
    assert found.rows[0].versus is None and found.images == 30
    for row in found.rows:
        means = arrays[row.name].mean(axis=1)
        assert row.mean == pytest.approx(means.mean())
        assert row.std == (pytest.approx(np.std(means, ddof=1)) if len(means) > 1 else None)
        assert row.interval == interval(arrays[row.name].mean(0), 500, 0)
        if row.versus is not None:
            assert row.versus.difference == pytest.approx(row.mean - found.rows[0].mean)
            assert row.versus.interval == interval(differences[row.name], 500, 0)
            assert (row.versus.p, row.versus.p_holm) == (p_values[row.name], corrected[row.name])
    assert [row.versus.verdict for row in found.rows if row.versus] == ["worse", "no difference shown", "better"]


def test_a_pairing_sees_what_two_intervals_do_not() -> None:
    found = compare({"a": [run("a", 0.80, 1)], "b": [run("b", 0.82, 2)]}, "dice", 0.05, 500, seed=0)
    first, second = (row.interval for row in found.rows)
    assert first[1] > second[0]  # the intervals of the means overlap widely
    assert found.rows[1].versus is not None and found.rows[1].versus.verdict == "better"


@pytest.mark.parametrize(
    ("difference", "p", "lower", "expected"),
    [
        (0.1, 0.01, False, "better"),
        (-0.1, 0.01, False, "worse"),
        (0.1, 0.01, True, "worse"),
        (-0.1, 0.01, True, "better"),
        (0.1, 0.05, False, "no difference shown"),
    ],
)
def test_a_verdict_knows_which_way_is_better(difference: float, p: float, lower: bool, expected: str) -> None:
    assert verdict(difference, p, 0.05, lower) == expected


def test_of_distances_less_is_better() -> None:
    assert [lower_is_better(each) for each in ("hd95", "level_2_hd95", "dice", "level_1_dice")] == [True, True, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "split is test in a but val in b; evaluate both alike"),
        ({"select_on": "pseudo"}, "select_on is mask in a but pseudo in b"),
        ({"folder": Path("./a")}, "a is given twice"),
        (
            {"scores": {"i00": 1.0, **{f"x{number}": 1.0 for number in range(3)}}},
            re.escape("32 ids are in only one of a and b (i01, i02, i03 and 29 more)"),
        ),
    ],
)
def test_what_is_not_alike_is_not_compared(change: dict, message: str) -> None:
    other = Evaluated(**({"folder": Path("b"), "split": "test", "select_on": "mask", "scores": scores(0, 1)} | change))
    with pytest.raises(ValueError, match=message):
        compare({"a": [run("a", 0.8, 1)], "b": [other]}, "dice", 0.05, 500, seed=0)


def test_distances_of_other_units_or_tolerances_are_not_compared(tmp_path: Path) -> None:
    given = {
        "mm": {"hd95": {"mean": 1.0, "unit": "mm"}, "surface_dice": {"unit": "mm", "tolerance": 2.0}},
        "px": {"hd95": {"mean": 1.0, "unit": "px"}, "surface_dice": {"unit": "mm", "tolerance": 1.0}},
        "old": {},
    }
    for name, scores_ in given.items():
        folder = written(tmp_path / name, scores(0.8, 1))
        table = (folder / "per_image.csv").read_text().replace("level_1_dice", "level_1_dice,hd95,surface_dice")
        (folder / "per_image.csv").write_text(table.replace(",0.5\n", ",0.5,2.0,0.9\n"))
        summary = json.loads((folder / "summary.json").read_text()) | scores_
        (folder / "summary.json").write_text(json.dumps(summary))
    for name, column, line in (
        ("px", "hd95", "distances are in mm in .*mm but in px in .*px; evaluate both alike"),
        ("px", "surface_dice", r"in mm within 2\.0 in .* but in mm within 1\.0 in"),
        ("old", "hd95", "in mm in .* but of no known unit in .*old"),
    ):
        runs = read_runs([str(tmp_path / "mm"), str(tmp_path / name)], "test", column)
        with pytest.raises(ValueError, match=line):
            compare(runs, column, 0.05, 500, seed=0)
    runs = read_runs([str(tmp_path / "mm"), str(tmp_path / "px")], "test", "dice")
    assert len(compare(runs, "dice", 0.05, 500, seed=0).rows) == 2


def test_one_image_is_not_enough() -> None:
    runs = {name: [Evaluated(Path(name), "test", "mask", {"i": 0.5})] for name in "ab"}
    with pytest.raises(ValueError, match="a has 1 images"):
        compare(runs, "dice", 0.05, 500, seed=0)


@pytest.mark.parametrize(
    ("alpha", "resamples", "key"), [(0, 500, "alpha"), (5, 500, "alpha"), (0.05, 10, "resamples"), (0.05, 1e4, "resam")]
)
def test_numbers_out_of_range_are_refused(alpha: float, resamples: int, key: str) -> None:
    with pytest.raises(ValueError, match=f"compare_{key}"):
        compare({"a": [run("a", 0.8, 1)], "b": [run("b", 0.8, 2)]}, "dice", alpha, resamples, seed=0)


def test_run_folders_and_evaluations_are_read(tmp_path: Path) -> None:
    inside = written(tmp_path / "run" / "evaluate" / "test", scores(0.8, 1))
    assert read_evaluation(tmp_path / "run", "test", "dice") == read_evaluation(inside, "val", "dice")
    found = read_evaluation(inside, "test", "dice")
    assert (found.folder, found.split, found.select_on) == (inside, "test", "mask")
    assert found.scores == pytest.approx(scores(0.8, 1), abs=1e-6)
    assert set(read_evaluation(inside, "test", "level_1_dice").scores.values()) == {0.5}


def test_the_forms_of_the_key(tmp_path: Path) -> None:
    a, b, c = (str(written(tmp_path / name, scores(0.8, 1))) for name in "abc")
    assert list(read_runs([a, b], "test", "dice")) == [a, b]
    named = read_runs({"x": [a, b], 7: c}, "test", "dice")
    assert {name: [str(run.folder) for run in runs] for name, runs in named.items()} == {"x": [a, b], "7": [c]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a", "nothing to compare; give 'compare="),
        (["a"], "nothing to compare"),
        ([], "nothing to compare"),
        ({"x": ["a", "b"]}, "nothing to compare"),
        ({"x": ["a"], "y": []}, "y names no folders"),
        ({"x": ["a"], "y": None}, "y names no folders"),
        (["a", "a"], "a is given twice"),
        (["a", "nowhere"], r"no per_image\.csv in nowhere or nowhere/evaluate/test"),
    ],
)
def test_other_forms_are_refused(given: object, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a", scores(0.8, 1))
    with pytest.raises(ValueError, match=message):
        read_runs(given, "test", "dice")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"per_image\.csv: no column id of scores"),
        ("id,iou\na,1\n", r"no column dice of scores; it has iou \(compare_on=…\)"),
        ("id,dice\na,0.5\nb,high\n", r"per_image\.csv, line 3: dice is 'high', not a number"),
        ("id,dice\na,nan\n", "line 2: dice is 'nan', not a number"),
        ("id,iou,dice\na,1\n", "line 2: dice is None, not a number"),
        ("id,dice\na,0.5\na,0.5\n", "line 3: a is there twice"),
        (b"id,dice\n\xff\xfe,0.5\n", "no table"),
        (f"id,dice\n{'x' * 200_000},0.5\n", "no table"),
    ],
)
def test_a_damaged_table_is_refused(table: str | bytes, message: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "a", scores(0.8, 1))
    (folder / "per_image.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_evaluation(folder, "test", "dice")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("summary", "message"),
    [
        (None, r"no summary\.json in"),
        ("{", r"summary\.json: not JSON"),
        ("[]", "no split or no select_on"),
        ('{"split": "test", "select_on": 3}', "no split or no select_on"),
    ],
)
def test_a_damaged_summary_is_refused(summary: str | None, message: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "a", scores(0.8, 1))
    if summary is None:
        (folder / "summary.json").unlink()
    else:
        (folder / "summary.json").write_text(summary)
    with pytest.raises(ValueError, match=message):
        read_evaluation(folder, "test", "dice")
