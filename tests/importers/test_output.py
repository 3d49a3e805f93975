"""What an import writes: observers, files that it may replace, errors of validation."""

import csv
import json
from pathlib import Path

import pytest

from fovea.importers.request import ImportRequest

from . import exports
from .conftest import Import, importer, rows

HEADER = "image,x,y,t,duration\n"
TIMES = {"columns": {"start": "t"}}


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(f"{line}\n" for line in lines))
    return path


def found(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Return image, index and observer of each row."""
    return [(row["IMAGE"], row["CURRENT_FIX_INDEX"], row["observer"]) for row in rows(tmp_path / "out.csv")]


class TestObservers:
    def test_a_column_names_them(self, imported: Import, tmp_path: Path) -> None:
        lines = ("A,a,500,1,0,200", "B,a,600,200,0,200", "A,a,700,100,220,220", "B,a,800,2,310,200")
        source = write(tmp_path / "s.csv", *lines, header="participant," + HEADER)
        _, result = imported("generic", source, **TIMES)
        assert found(tmp_path) == [("a", "1", "A"), ("a", "2", "A"), ("a", "1", "B"), ("a", "2", "B")]
        assert result.lines[1:] == ["2 observers: A, B", "0 of 4 fixations belong to no image"]

    @pytest.mark.parametrize(
        ("files", "observers"),
        [(("ann.csv", "ben.csv"), ["ann", "ben"]), (("p1/fix.csv", "p2/fix.csv"), ["p1/fix.csv", "p2/fix.csv"])],
    )
    def test_files_name_them(self, imported: Import, tmp_path: Path, files: tuple[str, ...], observers) -> None:
        for number, name in enumerate(files):
            write(tmp_path / "s" / name, f"a,5{number}0,300,0,200")
        imported("generic", tmp_path / "s", **TIMES)
        assert found(tmp_path) == [("a", "1", name) for name in observers]

    def test_folders_name_them_if_files_name_images(self, imported: Import, tmp_path: Path) -> None:
        for number, name in enumerate(("ann", "ben")):
            folder = tmp_path / "s" / name / "exports" / "000"
            text = "fixation_id,start_timestamp,duration,norm_pos_x,norm_pos_y\n"
            write(folder / "fixations_on_surface_a.csv", f"1,9.9,80.1,0.{number}1,0.9", header=text)
        imported("pupil", tmp_path / "s")
        assert found(tmp_path) == [("a", "1", "ann"), ("a", "1", "ben")]

    def test_refuses_two_in_one_trial_and_a_clock_that_goes_back(self, imported: Import, tmp_path: Path) -> None:
        source = write(tmp_path / "s.csv", "a,500,1,0,200", "a,600,200,300,200", "a,700,100,0,220", "a,800,2,310,200")
        with pytest.raises(ValueError, match=r"last longer than their trial.*format\.columns\.observer"):
            imported("generic", source, **TIMES)
        source = write(tmp_path / "s.csv", "a,500,1,100,200", "a,600,200,5300,200", "a,700,100,100,220")
        with pytest.raises(ValueError, match=r"the time goes back, so the table has several recordings"):
            imported("generic", source, clock="device", **TIMES)

    def test_a_trial_in_two_exports_counts_once(self, imported: Import, tmp_path: Path) -> None:
        header = "observer," + HEADER
        write(tmp_path / "s" / "all.csv", "A,a,500,1,0,200", "B,a,600,1,0,200", header=header)
        write(tmp_path / "s" / "a.csv", "A,a,500,1,0,200", header=header)
        _, result = imported("generic", tmp_path / "s", **TIMES)
        assert found(tmp_path) == [("a", "1", "A"), ("a", "1", "B")]
        assert "1 trials are in two exports; each counts once" in result.warnings

    def test_names_two_files_of_one_observer(self, imported: Import, tmp_path: Path) -> None:
        for number in (1, 2):
            write(tmp_path / "s" / f"{number}.csv", f"A,a,5{number}0,1,0,200", header="observer," + HEADER)
        assert "a of A in 1.csv, 2.csv" in imported("generic", tmp_path / "s", **TIMES)[1].warnings[0]
        assert found(tmp_path) == [("a", "1", "A"), ("a", "2", "A")]


class TestFiles:
    def test_names_the_files_that_are_there(self, imported: Import, tmp_path: Path) -> None:
        write(tmp_path / "recordings" / "s.edf")
        with pytest.raises(ValueError, match=r"recording does not exist, the nearest are recordings;"):
            imported("eyelink_asc", tmp_path / "recording")
        with pytest.raises(ValueError, match=r"no file in .*recordings matches \*\.asc; it has s\.edf;"):
            imported("eyelink_asc", tmp_path / "recordings")

    def test_replaces_only_its_own_table(self, imported: Import, tmp_path: Path) -> None:
        source, out = write(tmp_path / "s.csv", "a,500,300,0,200"), tmp_path / "out.csv"
        with pytest.raises(ValueError, match=r"out: .*s\.csv is the source"):
            ImportRequest(source, tmp_path / "." / "s.csv")
        for read in (source, source, tmp_path, tmp_path):  # a folder, without the table that was written into it
            assert len(imported("generic", read)[0]) == 1
        with out.open("a") as file:
            csv.writer(file).writerow(["b", 1, 0.5, 0.5, 100])
        for _ in range(2):
            with pytest.raises(
                ValueError, match=r"out: .*out\.csv exists, and fovea-import did not write it like this"
            ):
                imported("generic", source)
            (tmp_path / "out.import.json").unlink(missing_ok=True)

    def test_replaces_a_table_that_a_signal_left_without_its_record(
        self, imported: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for end in ("200", "300"):  # of a new table, and of one that is replaced
            source = write(tmp_path / "s.csv", f"a,500,300,0,{end}")
            with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
                patched.setattr("fovea.importers.recordings.convert.write_json", interrupted)
                imported("generic", source)
            assert (tmp_path / "out.csv").is_file()
        assert len(imported("generic", source)[0]) == 1
        assert set(json.loads((tmp_path / "out.import.json").read_text())) == {"recordings", "sha256"}


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


class TestValidation:
    def validation(self, tmp_path: Path) -> list[dict[str, object]]:
        return json.loads((tmp_path / "out.import.json").read_text())["recordings"][0]["validation"]

    def test_of_eyelink(self, imported: Import, tmp_path: Path) -> None:
        path = exports.asc(tmp_path / "s.asc", "LR")
        text = path.read_text().splitlines()
        line = "MSG\t1 !CAL VALIDATION HV9 LR {}  {} ERROR {} avg. {} max  OFFSET 0.12 deg. 2.1,3.2 pix."
        lines = [line.format("LEFT", "POOR", 2.1, 3.2), line.format("LEFT", "GOOD", 0.4, 0.8)]
        path.write_text("\n".join(lines + text))
        imported("eyelink_asc", path)
        assert self.validation(tmp_path) == [
            {"eye": "left", "quality": "GOOD", "average": 0.4, "maximum": 0.8},  # the one before it was repeated
            {"eye": "right", "quality": "GOOD", "average": 0.31, "maximum": 0.62},
        ]

    def test_of_tobii(self, imported: Import, tmp_path: Path) -> None:
        path = exports.tobii(tmp_path / "s.tsv")
        header, *lines = path.read_text().splitlines()
        header += "\tAverage validation accuracy (mm)\tAverage validation accuracy (degrees)"
        path.write_text("\n".join([header, *(f"{line}\t5.9\t0.52" for line in lines)]))
        imported("tobii", path)
        assert self.validation(tmp_path) == [{"observer": "P01", "average": 0.52}]


def test_excel(imported: Import, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Notes"])
    sheet = book.create_sheet("Data")
    for line in exports.tobii(tmp_path / "s.tsv").read_text().splitlines():
        cells = line.split("\t")
        sheet.append([float(cell) if cell.replace(".", "", 1).isdigit() else cell or None for cell in cells])
    book.save(tmp_path / "s.xlsx")
    assert imported("tobii", tmp_path / "s.xlsx")[0] == imported("tobii", tmp_path / "s.tsv")[0]
    (tmp_path / "s.xlsx").write_bytes(b"PK\3\4 x")
    with pytest.raises(ValueError, match=r"s\.xlsx: not an Excel file, or damaged"):
        importer("tobii").read(tmp_path / "s.xlsx")
