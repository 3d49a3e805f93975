import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fovea.report.comparison import Comparison, Row, Versus
from fovea.report.comparison_table import HEADER, note, table, write_comparison

ROWS = [
    Row("full", ["a0", "a1"], 2, 0.8, 0.01, (0.75, 0.85), None),
    Row("gaze|\nx", ["b"], 1, 0.7, None, (0.65, 0.75), Versus(-0.1, (-0.12, -0.08), 0.00002, 0.03, "worse")),
]
COMPARISON = Comparison(ROWS, "dice", "test", "mask", 30, 0.05, 10000, 0)


def test_the_table_is_markdown_that_a_name_does_not_break() -> None:
    lines = table(COMPARISON).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].split("|")[1:4]] == ["", "seeds", "dice"]
    assert set(lines[1]) == set("|- ")
    assert "0.8000 ± 0.0100 | 0.7500 to 0.8500" in lines[2] and "baseline" in lines[2]
    assert lines[3].startswith(r"| gaze\| x ")
    assert "| -0.1000    | -0.1200 to -0.0800 | < 0.0001 | 0.0300   | worse" in lines[3]


def test_the_note_says_how_the_figures_were_made() -> None:
    said = note(COMPARISON)
    for part in ("30 images of `test`", "their masks", "sign-flip", "1 comparison,", "0.05", "10000", "patient"):
        assert part in said
    assert said.endswith("the spread over seeds, of which one seed says nothing.")
    two = replace(COMPARISON, rows=[ROWS[0], replace(ROWS[0], name="again")])
    assert note(two).endswith("the spread over seeds.")


def test_the_files_hold_the_same_figures(tmp_path: Path) -> None:
    write_comparison(COMPARISON, tmp_path / "out")
    with (tmp_path / "out" / "comparison.csv").open() as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == HEADER
    assert (first["name"], first["std"], first["difference"], first["verdict"]) == ("full", "0.010000", "", "baseline")
    assert (second["name"], second["std"], second["verdict"]) == ("gaze|\nx", "", "worse")
    assert float(second["p"]) == pytest.approx(0.00002) and float(second["difference_low"]) == -0.12
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["rows"][1]["versus"]["p_holm"] == 0.03 and content["rows"][0]["folders"] == ["a0", "a1"]
    assert (tmp_path / "out" / "comparison.md").read_text() == f"{table(COMPARISON)}\n\n{note(COMPARISON)}\n"
