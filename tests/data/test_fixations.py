"""The fixation table: which rows are read, which are counted and dropped, and which files are refused."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.fixations import COLUMNS, NEEDED, read_fixations
from fovea.data.table import Annotations
from fovea.prepare.labels.gaze import Gaze
from fovea.runtime.files import write_csv

HEADER = ",".join(NEEDED)


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "fixations.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def read(folder: Path, *lines: str, ids: str = "a", header: str = HEADER) -> Annotations:
    return read_fixations(write(folder, *lines, header=header), ids.split(","))


def test_written_rows_are_read_in_any_order(tmp_path: Path) -> None:
    path, rows = tmp_path / "fixations.csv", [(2, 0.75, 1, 90, 1200, 240, 10, 20), (1, 0.25, 0.5, 200, 1200, 0, 10, 20)]
    write_csv(path, COLUMNS, [("a.jpg", *row) for row in [*rows, (10, 0.3, 0.3, 80, 1200, 0, 10, 20)]])
    fixations = read_fixations(path, ["a"]).of("a")
    expected = [[0.25, 0.75, 0.3], [0.5, 1, 0.3], [200, 90, 80]]  # by index
    np.testing.assert_array_equal([fixations.x, fixations.y, fixations.duration], expected)
    fixations = read(tmp_path, "x,120,0.2,0.1,1,a.jpg", header="NOTE," + ",".join(reversed(NEEDED))).of("a")
    assert (fixations.x.item(), fixations.y.item(), fixations.duration.item()) == (0.1, 0.2, 120)


@pytest.mark.parametrize(
    ("name", "ids"), [("1-05.jpg", "1-05,1-15"), ("1-05.dcm", "1-05"), ("1-05", "1-05"), ("c.7", "c.7")]
)
def test_images_match_by_stem(tmp_path: Path, name: str, ids: str) -> None:
    assert len(read(tmp_path, f"{name},1,0.5,0.5,100", ids=ids).of(ids.split(",")[0])) == 1


def test_statistics_and_summary(tmp_path: Path) -> None:
    rows = ("a.jpg,1,0.5,0.5,20", "a.jpg,2,0.5,0.5,100", "a.jpg,3,2,0.5,100")
    table = read(tmp_path, *rows, "c.jpg,1,0.5,0.5,100", "b.jpg,1,0.5,0.5,10", ids="a,b")
    assert table.of("a").statistics() == {"fixations": 1, "dropped": 2, "duration_ms": 100.0}
    assert table.of("a").tobytes() == np.array([0.5, 0.5, 100]).tobytes() and len(table.of("b")) == 0
    assert str(table) == "1 of 5 fixations used on 1 images; dropped 1 unknown image, 1 outside image, 2 too short"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg,2,0.5,0.5,49.9", "too_short"),
        ("a.jpg,2,0.5,0.5,-80", "too_short"),
        ("a.jpg,2,1.01,0.5,100", "outside_image"),
        ("a.jpg,2,0.5,-0.001,100", "outside_image"),
        ("a.jpg,2,inf,0.5,100", "outside_image"),
        ("a.jpg,2,nan,0.5,100", "not_a_number"),
        ("a.jpg,2,0.5,,100", "not_a_number"),
        ("a.jpg,2,.,.,100", "not_a_number"),
        ("a.jpg,2,0.5,0.5,NaN", "not_a_number"),
        ("a.jpg,2,0.5,0.5,inf", "not_a_number"),
        ("b.jpg,2,0.5,0.5,100", "unknown_image"),
        (",2,0.5,0.5,100", "unknown_image"),
        ("../../a.jpg,2,0.5,0.5,100", "unsafe_name"),
    ],
)
def test_unusable_rows_are_counted(tmp_path: Path, row: str, reason: str) -> None:
    table = read(tmp_path, "a.jpg,1,0.5,0.5,100", row)
    assert (len(table.of("a")), {key: count for key, count in table.dropped.items() if count}) == (1, {reason: 1})


def test_equal_rows_count_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = read(tmp_path, *["a.jpg,1,0.5,0.5,100"] * 3, "a.jpg,2,0.5,0.5,100", "a.jpg,2,0.6,0.5,100")
    assert (len(table.of("a")), table.of("a").dropped, table.summary()["repeated"]) == (3, 2, 2)
    assert "2 rows equal an earlier row" in caplog.text and "1 images have a CURRENT_FIX_INDEX twice: a" in caplog.text


def test_durations_of_another_unit_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(tmp_path, "a,1,0.5,0.5,250000", "a,2,0.5,0.5,180000", "a,3,0.5,0.5,90000")
    assert "the median fixation lasts 180000 ms; CURRENT_FIX_DURATION must be in milliseconds" in caplog.text


@pytest.mark.parametrize("name", ["observer", "Annotator"])
def test_observers_are_kept_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    rows = ["a,2,0.2,0.2,200,p2", "a,1,0.1,0.1,100,p2", "a,1,0.9,0.9,300,p1", "b,1,0.5,0.5,60,p1"]
    table = read(tmp_path, *rows, ids="a,b", header=f"{HEADER},{name}")
    one, other = table.of("a").by_observer()
    assert (one.x.tolist(), other.x.tolist(), len(table.of("b").by_observer())) == ([0.9], [0.1, 0.2], 1)
    assert table.of("a").statistics()["observers"] == 2 and not caplog.text
    half = table.of("a").first(0.5)  # of each observer, not of the first
    assert [each.duration.tolist() for each in half.by_observer()] == [[150], [100, 50]]
    merged = read(tmp_path, *(row.rpartition(",")[0] for row in rows), ids="a,b")
    assert table.of("a").tobytes() != merged.of("a").tobytes()


def test_two_observers_with_one_name_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ["a,1,0.1,0.1,100,Al", "a,1,0.9,0.9,300,Al", "b,1,0.5,0.5,60,Al", "b,1,0.5,0.4,60,Bo"]
    table = read(tmp_path, *rows, ids="a,b", header=f"{HEADER},observer")
    assert (len(table.of("a").by_observer()), len(table.of("b").by_observer())) == (1, 2)
    (record,) = caplog.records
    assert "1 images have a CURRENT_FIX_INDEX twice: a; if several people looked, give each a name" in record.message


def test_observers_without_a_name_or_a_usable_row_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["a,1,0.1,0.1,100,Al", "a,2,0.9,0.9,300,", "b,1,0.5,0.5,60,Al", "b,1,50,40,60,Bo", "a,1,50,40,60,Bo"]
    table = read(tmp_path, *rows, ids="a,b", header=f"{HEADER},observer")
    assert (len(table.of("a").by_observer()), len(table.of("b").by_observer())) == (2, 1)
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "1 images have rows with and without the name of an observer, those without count as another person: a",
        "no row of 1 observers can be used: 'Bo'; X and Y must be fractions of the sides, DURATION milliseconds",
    ]


def test_rows_that_are_longer_or_shorter_than_the_header(tmp_path: Path) -> None:
    assert read(tmp_path, "a,1,0.5,0.5,100,,", ",,,,").used == 1
    with pytest.raises(ValueError, match="line 2 has 2 cells more than the header, perhaps decimal commas"):
        read(tmp_path, "a,1,0,5,0,5,100")
    with pytest.raises(ValueError, match="line 2 has only 3 cells"):
        read(tmp_path, "a.jpg,1,0.5")


@pytest.mark.parametrize(("place", "line"), [(0, 3), (5, 3), (5, 4)])
def test_a_quotation_mark_does_not_swallow_rows(tmp_path: Path, place: int, line: int) -> None:
    rows = [["a", str(number), "0.5", "0.5", "100", '"two\n""lines, 2"'] for number in range(6)]
    path = write(tmp_path, *map(",".join, rows), header=f"{HEADER},note")
    assert read_fixations(path, ["a"]).used == 6
    rows = [[*row[:5], "near"] for row in rows]
    for number in {line - 2, 3}:  # the second mark is the partner of the first
        rows[number][place] = '"'
    with pytest.raises(ValueError, match=f"line {line}: a quotation mark without a partner joins it with the next"):
        read(tmp_path, *map(",".join, rows), header=f"{HEADER},note")


def test_folders_do_not_merge_images(tmp_path: Path) -> None:
    rows = (r"x\benign\a.png,1,0.5,0.5,100", "malignant/a.png,1,0.6,0.5,100")
    with pytest.raises(ValueError, match=r"fixations\.csv: .* would both be the image a;"):
        read(tmp_path, *rows)
    table = read(tmp_path, *rows, ids="benign_a,malignant_a")
    assert [table.of(name).x.tolist() for name in ("benign_a", "malignant_a")] == [[0.5], [0.6]]


@pytest.mark.parametrize("column", NEEDED)
def test_missing_column(tmp_path: Path, column: str) -> None:
    with pytest.raises(ValueError, match=f"no column {column}, the nearest are .*{column}_"):
        read(tmp_path, header=HEADER.replace(column, f"{column}_"))
    with pytest.raises(ValueError, match=f"several columns {column}"):
        read(tmp_path, header=f"{HEADER},{column}")
    with pytest.raises(ValueError, match="save the table with commas between its columns"):
        read(tmp_path, header=HEADER.replace(",", "|"))


@pytest.mark.parametrize("mark", ["", "\ufeff", "sep={}\r\n", '\ufeff"SEP={}"\n', "\n \r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_decimal_commas_of_spreadsheets(tmp_path: Path, delimiter: str, mark: str) -> None:
    cells = ['"x,y;z\tw.png"', "1", "0.25" if delimiter == "," else "0,25", "0.5", '"1e2"']
    header = mark.format(delimiter) + HEADER.replace(",", delimiter)
    path = write(tmp_path, delimiter.join(cells) + "\r", header=header)
    fixations = read_fixations(path, ["x,y;z\tw"]).of("x,y;z\tw")
    assert (fixations.x.item(), fixations.y.item(), fixations.duration.item()) == (0.25, 0.5, 100)
    path = write(tmp_path, delimiter.join([*cells[:4], "soon"]), header=header)
    with pytest.raises(ValueError, match=f"line {header.count(chr(10)) + 2}, column CURRENT_FIX_DURATION: 'soon'"):
        read_fixations(path, ["x,y;z\tw"])


def test_a_number_between_tabs_that_can_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    rows = ["a\t1\t0,250\t0,5\t100,25", "a\t2\t0,250\t0,5\t1,234"]
    path = write(tmp_path, *rows, header=HEADER.replace(",", "\t"))
    with pytest.raises(ValueError, match=r"line 3, column .*: '1,234' has a decimal comma or thousands; save"):
        read_fixations(path, ["a"])


@pytest.mark.parametrize(("column", "cell"), [*((name, "soon") for name in NEEDED[1:]), ("CURRENT_FIX_INDEX", "")])
def test_invalid_number(tmp_path: Path, column: str, cell: str) -> None:
    cells = dict(zip(NEEDED, ["a.jpg", "2", "0.5", "0.5", "100"], strict=True)) | {column: cell}
    with pytest.raises(ValueError, match=f"line 3, column {column}: '{cell}' is not a number"):
        read(tmp_path, "a.jpg,1,0.5,0.5,100", ",".join(cells.values()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (HEADER.encode() + b"\n", "no fixation in it"),
        (HEADER.encode("utf-16"), "not UTF-8"),
        (HEADER.encode("utf-16-le"), "not UTF-8"),
        (HEADER.encode() + b"\na,1,80,60,100\n", "0 of 1 .* dropped 1 outside image; X and Y must be fractions"),
        (HEADER.encode() + b"\nb.jpg,1,0.5,0.5,100\n", r"none of the 1 rows \('b\.jpg'\) belongs to an image"),
    ],
)
def test_refused_content(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_fixations(tmp_path / "a.csv", ["a"])


@pytest.mark.parametrize(
    ("name", "near"), [("fixation.csv", "the nearest are fixations.csv"), ("no/a.csv", "directory"), (".", "directory")]
)
def test_unreadable_file(tmp_path: Path, name: str, near: str) -> None:
    write(tmp_path, "a,1,0.5,0.5,100")
    with pytest.raises(ValueError, match=rf"cannot read .*{near}; set labels\.path"):
        read_fixations(tmp_path / name, ["a"])


@pytest.mark.parametrize(("share", "left"), [(1.0, [100, 200, 100]), (0.5, [100, 100]), (0.25, [100]), (0.1, [40])])
def test_first_share_by_time(tmp_path: Path, share: float, left: list[float]) -> None:
    table = read(tmp_path, "a,2,0.2,0.2,200", "a,1,0.1,0.1,100", "a,3,0.3,0.3,100")
    dosed = Gaze(str(tmp_path / "fixations.csv"), 70.0, 768, min_duration=50.0, dose=share).read(["a"])
    kept = dosed.of("a")
    assert kept.duration.tolist() == pytest.approx(left)
    assert kept.x.tolist() == [0.1, 0.2, 0.3][: len(left)] and len(kept.y) == len(left)
    assert dosed.summary() == table.summary()  # the counts of the file
