"""Evaluations read from their folders."""

import json
from pathlib import Path

import pytest

from fovea.report.evaluations import read_evaluation, read_named

SCORES = {"a": 0.5, "b": 0.75}


def written(folder: Path, **summary: object) -> Path:
    """Write the files of an evaluation, as far as a comparison reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["id,patient,dice,level_1_dice,cup_hd95,size,hd95"]
    lines += [f"{name},p,{value},0.5,3,0.1,4" for name, value in SCORES.items()]
    (folder / "per_image.csv").write_text("\n".join(lines) + "\n")
    (folder / "summary.json").write_text(json.dumps({"split": "test", "select_on": "mask"} | summary))
    return folder


def test_run_folders_and_evaluations_are_read(tmp_path: Path) -> None:
    inside = written(tmp_path / "run" / "evaluate" / "test")
    assert read_evaluation(tmp_path / "run", "test", "dice") == read_evaluation(inside, "val", "dice")
    result = read_evaluation(inside, "test", "dice")
    assert (result.folder, result.split, result.select_on, result.unit) == (inside, "test", "mask", "")
    assert (result.scores, result.mean) == (SCORES, 0.625)
    assert (result.patients, result.sizes) == (dict.fromkeys("ab", "p"), dict.fromkeys("ab", 0.1))
    trained_on = read_evaluation(written(inside, training_images=3), "test", "dice").training_images
    assert (result.training_images, trained_on) == (0, 3)
    for column, value in {"level_1_dice": 0.5, "size": 0.1}.items():
        assert set(read_evaluation(inside, "test", column).scores.values()) == {value}
    several = written(inside, classes={"cup": {}, "disc": {}})
    assert read_evaluation(several, "test", "hd95").classes == {"cup": {"a": 3, "b": 3}}
    assert read_evaluation(several, "test", "dice").classes == {}
    averaged = [read_evaluation(several, "test", column).mean_of for column in ("hd95", "level_1_dice", "cup_hd95")]
    assert averaged == [("cup", "disc"), ("cup", "disc"), ()]
    assert read_evaluation(written(inside, classes={"cup": {}}), "test", "dice").mean_of == ()  # as with one channel


def test_modalities_are_scored_apart(tmp_path: Path) -> None:
    lines = ["id,patient,dice,cup_dice", "p_t1,p,0.2,0.1", "p_ce_t1,p,0.4,0.3", "q_t1,q,0.6,0.5"]
    folder = written(tmp_path, classes={"cup": {}}, groups={"t1": {}, "ce_t1": {}})
    (folder / "per_image.csv").write_text("\n".join(lines) + "\n")
    apart = {"t1": {"p_t1": 0.2, "q_t1": 0.6}, "ce_t1": {"p_ce_t1": 0.4}}
    apart["cup"] = {"p_t1": 0.1, "p_ce_t1": 0.3, "q_t1": 0.5}
    assert read_evaluation(folder, "test", "dice").classes == apart
    assert read_evaluation(folder, "test", "cup_dice").classes["t1"] == {"p_t1": 0.1, "q_t1": 0.5}
    (folder / "summary.json").write_text(json.dumps({"split": "test", "select_on": "mask", "groups": {"t1": {}}}))
    assert read_evaluation(folder, "test", "dice").classes == {}  # the whole has its own column


@pytest.mark.parametrize(
    ("score", "unit"),
    [({"unit": "mm"}, "mm"), ({"unit": "px", "tolerance": 2}, "px within 2.0"), ({"mean": 1.0}, ""), (3, "")],
)
def test_the_unit_and_tolerance_are_in_the_summary(score: object, unit: str, tmp_path: Path) -> None:
    assert read_evaluation(written(tmp_path, dice=score), "test", "dice").unit == unit
    assert read_evaluation(written(tmp_path, hd95=score), "test", "cup_hd95").unit == unit


def test_runs_are_listed_or_named(tmp_path: Path) -> None:
    a, b, c = (str(written(tmp_path / name)) for name in "abc")
    assert list(read_named([a, b], "test", "dice")) == [a, b]
    named = read_named({"x": [a, b], 7: c}, "test", "dice")
    assert {name: [str(run.folder) for run in runs] for name, runs in named.items()} == {"x": [a, b], "7": [c]}


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ("a", "nothing to compare; give 'compare="),
        (["a"], "nothing to compare"),
        ([], "nothing to compare"),
        ({"x": ["a", "b"]}, "nothing to compare"),
        ({"x": ["a"], "y": []}, "no folders for y"),
        ({"x": ["a"], "y": None}, "no folders for y"),
        (["a", "a"], "a folder twice"),
        ([["a"], ["b"]], r"\['a'\]: no per_image\.csv here"),
        (["a", "nowhere"], r"nowhere: no per_image\.csv here or in evaluate/test"),
    ],
)
def test_other_forms_are_refused(compare: object, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a")
    with pytest.raises(ValueError, match=message):
        read_named(compare, "test", "dice")


SUMMARIES = [  # what is in the file
    (None, "no summary.json here"),
    ("{", "summary.json: split is missing or damaged"),
    ("[]", "split is missing or damaged"),
    ('{"split": "test", "select_on": 3}', "select_on is missing or damaged"),
    ('{"split": "test", "select_on": "mask", "training_images": null}', "training_images is missing or damaged"),
]
TABLES = [
    ("", r"per_image\.csv: no column id"),
    ("id,dice\na,1\n", "no column patient; evaluate again"),
    ("id,patient,iou\na,p,1\n", "no column dice; choose a score of iou"),
    ("id,patient,iou,1dice\na,p,1,1\n", "no column dice, the nearest are 1dice"),
    ("id,patient,dice\n", "has no images"),
    ("id,patient,dice\na,p,0.5\nb,p,high\n", r"per_image\.csv, line 3: dice is 'high'"),
    ("id,patient,dice\na,p,nan\n", "line 2: dice is 'nan'"),
    ("id,patient,dice\na,p\n", "line 2: dice is None"),
    ("id,patient,dice\na,p,0.5\na,p,0.5\n", "line 3: a is repeated"),
    ("id,patient,dice\n\xff\xfe,p,0.5\n", "not a table"),
    (f"id,patient,dice\n{'x' * 200_000},p,0.5\n", "not a table"),
]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [*(("summary.json", *row) for row in SUMMARIES), *(("per_image.csv", *row) for row in TABLES)],
    ids=lambda value: str(value)[:40],
)
def test_a_damaged_file_is_refused(file: str, content: str | None, message: str, tmp_path: Path) -> None:
    path = written(tmp_path) / file
    path.unlink() if content is None else path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as caught:
        read_evaluation(tmp_path, "test", "dice")
    assert "\n" not in str(caught.value)
