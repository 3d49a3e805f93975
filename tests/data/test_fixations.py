"""The fixation table: what is read, what is counted and left out, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.fixations import COLUMNS, NEEDED, read_fixations, write_fixations

HEADER = ",".join(NEEDED)


def table(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "fixations.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_written_rows_come_back(tmp_path: Path) -> None:
    path = tmp_path / "out" / "fixations.csv"
    write_fixations(path, [("a.jpg", 1, 0.25, 0.5, 200, 1200, 0, 10, 20), ("a.jpg", 2, 0.75, 1, 90, 1200, 240, 10, 20)])
    fixations = read_fixations(path, ["a"]).of("a")
    np.testing.assert_array_equal([fixations.x, fixations.y, fixations.duration], [[0.25, 0.75], [0.5, 1], [200, 90]])


def test_header_of_a_written_table_is_the_published_one(tmp_path: Path) -> None:
    write_fixations(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text().strip() == ",".join(COLUMNS)


def test_rows_are_put_in_the_order_of_their_index(tmp_path: Path) -> None:
    path = table(tmp_path, "a.jpg,10,0.3,0.3,300", "a.jpg,2,0.2,0.2,200", "a.jpg,1,0.1,0.1,100")
    assert read_fixations(path, ["a"]).of("a").duration.tolist() == [100, 200, 300]


@pytest.mark.parametrize("name", ["1-05.jpg", "1-05.dcm", "1-05"])
def test_images_match_by_stem(tmp_path: Path, name: str) -> None:
    assert len(read_fixations(table(tmp_path, f"{name},1,0.5,0.5,100"), ["1-05", "1-15"]).of("1-05")) == 1


def test_an_id_with_a_dot_matches_without_a_suffix(tmp_path: Path) -> None:
    assert len(read_fixations(table(tmp_path, "case.7,1,0.5,0.5,100"), ["case.7"]).of("case.7")) == 1


def test_columns_come_in_any_order_and_with_others_between(tmp_path: Path) -> None:
    header = "NOTE," + ",".join(reversed(NEEDED))
    fixations = read_fixations(table(tmp_path, "x,120,0.2,0.1,1,a.jpg", header=header), ["a"]).of("a")
    assert (fixations.x.item(), fixations.y.item(), fixations.duration.item()) == (0.1, 0.2, 120)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = table(tmp_path, "a.jpg,1,0.5,0.5,100", header="\ufeff" + HEADER)
    assert len(read_fixations(path, ["a"]).of("a")) == 1


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
        ("/etc/a,2,0.5,0.5,100", "unsafe_name"),
        (r"c:\a.jpg,2,0.5,0.5,100", "unsafe_name"),
    ],
)
def test_a_row_of_no_use_is_counted_and_left_out(tmp_path: Path, row: str, reason: str) -> None:
    read = read_fixations(table(tmp_path, "a.jpg,1,0.5,0.5,100", row), ["a"])
    assert (len(read.of("a")), {key: count for key, count in read.dropped.items() if count}) == (1, {reason: 1})


@pytest.mark.parametrize("edge", ["0,0", "1,1", "0.0,1.0"])
def test_the_edge_is_inside(tmp_path: Path, edge: str) -> None:
    assert len(read_fixations(table(tmp_path, f"a.jpg,1,{edge},50"), ["a"]).of("a")) == 1


def test_the_shortest_duration_can_be_chosen(tmp_path: Path) -> None:
    path = table(tmp_path, "a.jpg,1,0.5,0.5,60", "a.jpg,2,0.5,0.5,120")
    assert read_fixations(path, ["a"], min_duration=100).summary()["too_short"] == 1


def test_an_image_knows_how_many_of_its_rows_were_dropped(tmp_path: Path) -> None:
    path = table(tmp_path, "a.jpg,1,0.5,0.5,20", "a.jpg,2,0.5,0.5,100", "a.jpg,3,2,0.5,100")
    assert read_fixations(path, ["a"]).of("a").dropped == 2


def test_an_image_nobody_looked_at_has_no_fixations(tmp_path: Path) -> None:
    assert len(read_fixations(table(tmp_path, "a.jpg,1,0.5,0.5,100"), ["a", "b"]).of("b")) == 0


def test_the_summary_counts_every_row(tmp_path: Path) -> None:
    path = table(tmp_path, "a.jpg,1,0.5,0.5,100", "a.jpg,2,0.5,0.5,10", "c.jpg,1,0.5,0.5,100", "b.jpg,1,0.5,0.5,10")
    read = read_fixations(path, ["a", "b"])
    assert str(read) == "1 of 4 fixations used on 1 images; dropped 1 unknown image, 2 too short"


@pytest.mark.parametrize("column", NEEDED)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(ValueError, match=f"no column {column}"):
        read_fixations(table(tmp_path, header=HEADER.replace(column, "OTHER")), ["a"])


@pytest.mark.parametrize("column", NEEDED[1:])
def test_text_in_place_of_a_number_is_found(tmp_path: Path, column: str) -> None:
    cells = dict(zip(NEEDED, ["a.jpg", "2", "0.5", "0.5", "100"], strict=True)) | {column: "soon"}
    path = table(tmp_path, "a.jpg,1,0.5,0.5,100", ",".join(cells.values()))
    with pytest.raises(ValueError, match=f"line 3, column {column}: 'soon' is no number"):
        read_fixations(path, ["a"])


def test_an_order_cannot_be_lost(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 2, column CURRENT_FIX_INDEX"):
        read_fixations(table(tmp_path, "a.jpg,,0.5,0.5,100"), ["a"])


def test_a_short_line_is_found(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 2 has only 3 cells"):
        read_fixations(table(tmp_path, "a.jpg,1,0.5"), ["a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty, or without a header"),
        (b"\n\n", "empty, or without a header"),
        (HEADER.encode() + b"\n", "no fixation below the header"),
        (HEADER.encode("utf-16"), "not UTF-8"),
        (HEADER.encode() + b"\nb.jpg,1,0.5,0.5,100\n", "none of its 1 rows belongs to an image"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_fixations(tmp_path / "a.csv", ["a"])


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"labels\.path: cannot read"):
        read_fixations(tmp_path / name, ["a"])


@pytest.mark.parametrize(("share", "left"), [(1.0, [100, 200, 100]), (0.5, [100, 100]), (0.25, [100]), (0.1, [40])])
def test_the_first_share_of_the_gaze_is_kept_by_time(tmp_path: Path, share: float, left: list[float]) -> None:
    rows = table(tmp_path, "a,2,0.2,0.2,200", "a,1,0.1,0.1,100", "a,3,0.3,0.3,100")
    whole = read_fixations(rows, ["a"])
    kept = whole.first(share).of("a")
    assert kept.duration.tolist() == pytest.approx(left)
    assert kept.x.tolist() == [0.1, 0.2, 0.3][: len(left)] and len(kept.y) == len(left)
    assert whole.first(share).summary() == whole.summary()  # it is the file's
