"""A prediction replaces only files that it wrote, makes none again without need, and keeps a table of figures."""

import csv
import io
import json
import socket
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fovea.data.prediction_record import Planned, Recorded

ODD = 'ü,"\n\u2028'
PROBABILITY = np.array([[[0.9, 0.1], [0.7, 0.2]]], np.float32)


def predict(
    out: Path,
    *names: str,
    content: str = "new",
    settings: str = "",
    kill: str = "",
    structure: str = "lesion",
    networks: Mapping[str, list[str] | None] | None = None,
) -> list[str]:
    """Predict files of `in/`, and return the names of those that were not done already."""
    (source := out.parent / "in").mkdir(exist_ok=True)
    planned = {name: Planned(source / name, [source / name], {"mask": f"masks/{name}.png"}) for name in names}
    for name in names:
        (source / name).write_text(name)
    made = []
    with Recorded(out, planned, settings, [structure], networks or {}) as record:
        for name in names:
            if record.is_done(name):
                continue
            made.append(name)
            (out / "masks").mkdir(parents=True, exist_ok=True)
            (out / "masks" / f"{name}.png").write_text(content)
            if name == kill:
                record.write = lambda: None  # type: ignore[method-assign]
                return made
            record.add(name, PROBABILITY[0] > 0.5, PROBABILITY, 1.0, foreground=255)
    return made


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


def test_figures_are_in_the_table(tmp_path: Path) -> None:
    predict(tmp_path / "out", "b", ODD, "a")
    rows = table(tmp_path / "out" / "predictions.csv")
    assert [row["mask"] for row in rows] == [f"masks/{name}.png" for name in ("a", "b", ODD)]
    assert 0 <= float(rows[0].pop("seconds")) < 10
    assert rows[0] == {
        **{"mask": "masks/a.png", "structure": "lesion", "input": str(tmp_path / "in" / "a"), "label": "255"},
        **{"pixels": "2", "mm2": "2", "mm3": "", "largest_share": "1", "mean_probability": "0.8"},
    }


def test_only_what_changed_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(out, "a", "b", ODD, content="old") == ["a", "b", ODD]
    before = (out / "files.csv").read_bytes(), (out / "predictions.csv").read_bytes()
    assert predict(out, "a", "b", ODD) == []
    assert before == ((out / "files.csv").read_bytes(), (out / "predictions.csv").read_bytes())
    (out / "masks" / "b.png").unlink()
    assert predict(out, "a", "b", "c") == ["b", "c"]
    assert predict(out, "a", settings="another model") == ["a"]
    (out / "predictions.csv").unlink()
    assert predict(out, "b") == ["b"] and len(table(out / "predictions.csv")) == 1
    assert predict(out, "a", "c") == ["a", "c"]
    assert [(row["file"], row["sha256"] != "") for row in table(out / "files.csv")] == [
        (name, True) for name in (*(f"masks/{name}.png" for name in ("a", "b", "c", ODD)), "predictions.csv")
    ]
    assert len(table(out / "predictions.csv")) == 3


def test_a_model_of_other_classes_leaves_no_row_of_the_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(out, "a", "b")
    assert predict(out, "a", settings="another model", structure="polyp") == ["a"]
    rows = [(row["mask"], row["structure"]) for row in table(out / "predictions.csv")]
    assert rows == [("masks/a.png", "polyp"), ("masks/b.png", "lesion")]


@pytest.mark.parametrize(
    ("settings", "content", "stays"),
    [("another model", "map", False), ("another model", "mine", True), ("", "map", True)],
)
def test_a_map_of_an_earlier_model_does_not_stay(tmp_path: Path, settings: str, content: str, stays: bool) -> None:
    out, source = tmp_path / "out", tmp_path / "in" / "a"
    source.parent.mkdir()
    source.write_text("a")
    outputs = {"mask": "masks/a.png", "1": "probabilities/a.png"}
    with Recorded(out, {"a": Planned(source, [source], outputs)}, "", ["lesion"], {}) as record:
        assert not record.is_done("a")
        for file in outputs.values():
            (out / file).parent.mkdir()
            (out / file).write_text("map")
        record.add("a", PROBABILITY[0] > 0.5, PROBABILITY, None)
    (out / "probabilities" / "a.png").write_text(content)
    predict(out, "a", settings=settings)
    assert (out / "probabilities" / "a.png").exists() == stays


def test_an_image_that_gets_another_name_leaves_nothing_under_the_old_one(tmp_path: Path) -> None:
    out, source = tmp_path / "out", tmp_path / "in" / "a"
    predict(out, "a", "b")
    outputs = {"mask": "masks/a.png.png"}
    with Recorded(out, {"a": Planned(source, [source], outputs)}, "", ["lesion"], {}) as record:
        assert not record.is_done("a")
        (out / outputs["mask"]).write_text("mask")
        record.add("a", PROBABILITY[0] > 0.5, PROBABILITY, None)
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["a.png.png", "b.png"]
    assert [row["mask"] for row in table(out / "predictions.csv")] == ["masks/a.png.png", "masks/b.png"]


def test_the_networks_of_all_predictions_are_known(tmp_path: Path) -> None:
    out, every = tmp_path / "out", {"first": ["i", "j"], "second": ["k"], "third": None}
    steps: list[tuple[str, str, str]] = [
        ("first", "ab", "first"),
        ("second", "bc", "first second"),  # a is still of the first one
        ("third", "abc", "third"),
        ("second", "a", "second third"),
    ]
    for network, names, known in steps:
        predict(out, *names, settings=network, networks={network: every[network]})
        assert json.loads((out / "networks.json").read_text()) == {name: every[name] for name in known.split()}
    predict(out, "a", "b", "c", settings="first", kill="a", networks={"first": every["first"]})
    assert {*json.loads((out / "networks.json").read_text())} == {*every}
    predict(out, "a", "b", "c", settings="third", networks={"third": None})
    planned = {name: Planned(tmp_path / "in" / name, [], {"mask": f"masks/{name}.png"}) for name in "abc"}
    with pytest.raises(KeyboardInterrupt), Recorded(out, planned, "", ["lesion"], {"first": every["first"]}) as record:
        record.is_done("a")
        raise KeyboardInterrupt  # b and c are still of the third one
    assert {*json.loads((out / "networks.json").read_text())} == {"first", "third"}


@pytest.mark.parametrize("missing", [False, True])
def test_a_failed_prediction_leaves_no_file_of_an_earlier_run(missing: bool, tmp_path: Path) -> None:
    out, source = tmp_path / "out", tmp_path / "in" / "a"
    predict(out, "a", "b")
    source.unlink() if missing else source.write_text("damaged")
    with Recorded(out, {"a": Planned(source, [source], {"mask": "masks/a.png"})}, "", ["lesion"], {}) as record:
        assert not record.is_done("a")  # and its reader fails
    assert [path.name for path in (out / "masks").iterdir()] == ["b.png"]
    assert [row["mask"] for row in table(out / "predictions.csv")] == ["masks/b.png"]
    assert [row["file"] for row in table(out / "files.csv")] == ["masks/b.png", "predictions.csv"]


def test_two_runs_at_once_keep_the_figures_of_both(tmp_path: Path) -> None:
    out, source = tmp_path / "out", tmp_path / "in" / "a"
    source.parent.mkdir()
    source.write_text("a")
    with Recorded(out, {"a": Planned(source, [source], {"mask": "masks/a.png"})}, "", ["lesion"], {}) as record:
        assert not record.is_done("a") and predict(out, "b") == ["b"]
        (out / "masks" / "a.png").write_text("new")
        record.add("a", PROBABILITY[0] > 0.5, PROBABILITY, None)
    assert [row["mask"] for row in table(out / "predictions.csv")] == ["masks/a.png", "masks/b.png"]
    assert predict(out, "a", "b") == []


def test_foreign_and_changed_files_are_kept(tmp_path: Path) -> None:
    (truth := tmp_path / "data" / "masks" / "truth.jpg").parent.mkdir(parents=True)
    truth.write_text("truth")
    with pytest.raises(
        ValueError, match=r"not written by fovea-predict, or changed since: .*truth\.jpg; choose another folder"
    ):
        predict(tmp_path / "data", "a")
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == ["truth.jpg"]
    predict(tmp_path / "out", "a", "b")
    (tmp_path / "out" / "masks" / "a.png").write_text("corrected by hand")
    with pytest.raises(ValueError, match=r"changed since: .*a\.png;"):
        predict(tmp_path / "out", "a")
    predict(tmp_path / "out", "b")
    for name, content in (("predictions.csv", "a,b\n"), ("files.csv", "a,b\n")):
        (path := tmp_path / name.replace(".", "_") / name).parent.mkdir()
        path.write_text(content)
        with pytest.raises(ValueError, match=rf"{name} is not a file of fovea-predict"):
            predict(path.parent, "a")
        assert path.read_text() == content


@pytest.mark.parametrize("cut", ["", "masks/c.png,in", f'"masks/{ODD[:5]}', "masks/\udcc3"])
def test_a_killed_run_keeps_what_it_made_and_may_replace_the_rest(tmp_path: Path, cut: str) -> None:
    out = tmp_path / "out"
    assert predict(out, "a", ODD, "c", content="half", kill="c") == ["a", ODD, "c"]
    for name in ("files.csv", "predictions.csv"):
        with (out / name).open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(cut.replace('"', '""').replace('""', '"', 1))
    (out / "masks" / f".{socket.gethostname()}-99999999-0a1b.tmp").touch()
    assert predict(out, "a", ODD, "c") == ["c"] and not [*out.rglob("*.tmp")]
    assert [row["mask"] for row in table(out / "predictions.csv")] == [f"masks/{name}.png" for name in ("a", "c", ODD)]
