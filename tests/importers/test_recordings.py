"""One session in the export of each program gives the same fixations."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fovea.importers.recordings.geometry import Place, Screen

from . import exports
from .conftest import Import, detection

NONE = Screen()
NAMES = {"image": "picture", "x": "gx", "y": "gy", "start": "t", "duration": "ms"}

EVENTS = {
    "eyelink": lambda path: ("eyelink_asc", exports.asc(path / "s.asc"), {}),
    "eyelink, left": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", "L"), {"eye": "left"}),
    "eyelink, both": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", "LR"), {}),
    "tobii": lambda path: ("tobii", exports.tobii(path / "s.tsv"), {}),
    "tobii, ms, decimal comma": lambda path: ("tobii", exports.tobii(path / "s.tsv", decimal=",", unit="ms"), {}),
    "tobii, utf-16": lambda path: ("tobii", exports.tobii(path / "s.tsv", encoding="utf-16"), {}),
    "pupil, surface": lambda path: ("pupil", exports.pupil(path / "s"), {}),
    "pupil, world": lambda path: ("pupil", exports.pupil(path / "s", surface=False), {}),
    "generic, px": lambda path: ("generic", exports.generic(path / "s.csv"), {"columns": NAMES}),
    "generic, screen, s": lambda path: (
        "generic",
        exports.generic(path / "s.csv", "screen", time=1000),
        {"columns": NAMES, "unit": "screen", "time_unit": "s", "duration_unit": "s"},
    ),
    "generic, fraction, us": lambda path: (
        "generic",
        exports.generic(path / "s.csv", "fraction", time=0.001, delimiter=";"),
        {"columns": NAMES, "unit": "fraction", "time_unit": "us", "duration_unit": "us"},
    ),
}
SAMPLES = {
    "eyelink": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", events=False), {}),
    "eyelink, both": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", "LR", events=False), {}),
    "tobii": lambda path: ("tobii", exports.tobii(path / "s.tsv", events=False), {}),
    "pupil": lambda path: ("pupil", exports.pupil(path / "s", events=False), {}),
    "generic": lambda path: (
        "generic",
        exports.generic(path / "s.csv", events=False),
        {"columns": {**NAMES, "duration": None}},
    ),
}


def start_of(name: str, table: list, row: int) -> float:
    """Return the start from the onset of the image. Pupil's clock starts with the first fixation."""
    return table[row][3] + (exports.SESSION[table[row][0]][0][2] if name.startswith("pupil") else 0)


class TestFixations:
    @pytest.mark.parametrize("export", EVENTS)
    def test_every_export_gives_the_same_table(self, export: str, imported: Import, tmp_path: Path) -> None:
        name, source, keys = EVENTS[export](tmp_path)
        table, result = imported(name, source, **keys)
        expected = exports.expected()
        assert [row[0] for row in table] == [row[0] for row in expected]
        np.testing.assert_allclose([row[1:3] for row in table], [row[1:3] for row in expected], atol=2e-6)
        starts = [start_of(name, table, row) for row in range(len(table))]
        assert starts == pytest.approx([row[3] for row in expected], abs=1e-3)
        assert [row[4] for row in table] == [row[4] for row in expected]
        assert result.lines[0].startswith("5 fixations on 2 images (1 off the image, 0 without a position)")
        assert not result.failures


class TestSamples:
    @pytest.mark.parametrize("method", ["idt", "ivt"])
    @pytest.mark.parametrize("export", SAMPLES)
    def test_detects_fixations(self, export: str, method: str, imported: Import, tmp_path: Path) -> None:
        pytest.importorskip("pymovements")
        name, source, keys = SAMPLES[export](tmp_path)
        found_by = detection(method=method, unit="px", dispersion=8.0, velocity=500.0, min_duration=60)
        table, _ = imported(name, source, found_by=found_by, **keys)
        expected = exports.expected()
        assert [row[0] for row in table] == [row[0] for row in expected]
        np.testing.assert_allclose([row[1:3] for row in table], [row[1:3] for row in expected], atol=1e-3)
        # Detection is within a few samples (of 2 to 8 ms) of both ends.
        np.testing.assert_allclose([row[3] for row in table], [row[3] for row in expected], atol=25)
        np.testing.assert_allclose([row[4] for row in table], [row[4] for row in expected], atol=45)

    def test_degrees_use_the_geometry(self, imported: Import, tmp_path: Path) -> None:
        pytest.importorskip("pymovements")
        source = exports.asc(tmp_path / "s.asc", events=False)
        near = Screen(*exports.SCREEN, 53.0, 30.0, 60.0)
        assert len(imported("eyelink_asc", source, screen=near)[0]) == 5
        strict = detection(dispersion=0.001)  # about a twentieth of the noise, half a pixel to each side
        with pytest.raises(ValueError, match="no fixation"):
            imported("eyelink_asc", source, screen=near, found_by=strict)
        with pytest.raises(ValueError, match=r"screen\.width_cm, screen\.height_cm and screen\.distance_cm"):
            imported("tobii", exports.tobii(tmp_path / "s.tsv", events=False))

    def test_need_pymovements(self, imported: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "pymovements", None)
        with pytest.raises(ValueError, match=r"pip install 'pymovements>="):
            imported("tobii", exports.tobii(tmp_path / "s.tsv", events=False), found_by=detection(unit="px"))


class TestPlace:
    def test_contain_keeps_the_aspect_ratio(self, imported: Import, dataset, tmp_path: Path) -> None:
        # 600 x 400 fills the height of 1920 x 1080: 1620 wide, from 150 on; EyeLink tells the screen itself.
        place, source = Place(fit="contain"), exports.asc(tmp_path / "s.asc")
        table, _ = imported("eyelink_asc", source, screen=NONE, place=place, dataset=dataset)
        assert table[1][1:3] == pytest.approx(((660 - 150) / 1620, 340 / 1080), abs=1e-6)
        assert (tmp_path / "out.csv").read_text().splitlines()[1].endswith(",400,600,s")

    def test_native_is_pixel_by_pixel(self, imported: Import, dataset, tmp_path: Path) -> None:
        table, _ = imported("tobii", exports.tobii(tmp_path / "s.tsv"), place=Place(fit="native"), dataset=dataset)
        assert table[1][1:3] == pytest.approx(((660 - 660) / 600, (340 - 340) / 400), abs=1e-6)

    @pytest.mark.parametrize(
        ("screen", "place", "images", "message"),
        [
            (NONE, Place(fit="contain"), True, r"screen\.width and screen\.height are not set"),
            (NONE, Place(), True, r"the place of the image is not set: add image\.left"),
            (Screen(*exports.SCREEN), Place(fit="contain"), False, "fit=contain needs the size .*: add data.root"),
        ],
    )
    def test_missing_geometry(self, imported: Import, dataset, tmp_path: Path, screen, place, images, message) -> None:
        source = exports.tobii(tmp_path / "s.tsv")
        with pytest.raises(ValueError, match=message):
            imported("tobii", source, screen=screen, place=place, dataset=dataset if images else None)
        assert not (tmp_path / "out.csv").exists()


class TestSource:
    def test_leaves_out_images_that_the_data_set_lacks(self, imported: Import, dataset, tmp_path: Path) -> None:
        (tmp_path / "data" / "images" / "b.png").unlink()
        table, result = imported("tobii", exports.tobii(tmp_path / "s.tsv"), dataset=dataset)
        assert {row[0] for row in table} == {"a.png"}
        assert result.warnings == ["1 images are not in data.root and left out: b.png"]

    def test_images_of_one_name_in_two_folders(self, imported: Import, dataset, tmp_path: Path) -> None:
        path = tmp_path / "s.csv"
        path.write_text("image,x,y,duration\nbenign\\a.png,960,540,200\nmalignant\\a.png,970,540,200\n")
        for images in (None, dataset):
            with pytest.raises(ValueError, match=r"benign.*malignant.* would both be the image a;"):
                imported("generic", path, dataset=images)
        for name in ("benign_a", "malignant_a"):
            shutil.copy(tmp_path / "data/images/a.png", tmp_path / f"data/images/{name}.png")
        table, _ = imported("generic", path, dataset=dataset)
        assert [row[0] for row in table] == ["benign_a.png", "malignant_a.png"]

    def test_damaged_file_is_a_failure(self, imported: Import, tmp_path: Path) -> None:
        folder = tmp_path / "s"
        folder.mkdir()
        exports.asc(folder / "good.asc")
        (folder / "bad.asc").write_text("MSG 1 TRIALID 1\nEFIX R 1 2\n")
        table, result = imported("eyelink_asc", folder)
        assert len(table) == 5
        assert list(result.failures) == ["bad.asc"]
        assert "cut short or damaged" in result.failures["bad.asc"]

    def test_names_files_that_are_not_read(self, imported: Import, tmp_path: Path) -> None:
        folder = exports.pupil(tmp_path / "s")
        (folder / "notes.md").write_text("x")
        assert f"1 files in {folder} are not read: notes.md" in imported("pupil", folder)[1].warnings

    def test_hostile_name_is_only_a_name(self, imported: Import, tmp_path: Path) -> None:
        for image in ("../../x.png", "..\\..\\x.png", "/etc/x.png", "C:\\x.png"):
            table, _ = imported("eyelink_asc", exports.asc(tmp_path / "s.asc", image=lambda _, name=image: name))
            assert {row[0] for row in table} == {"x.png"}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.import.json", "s.asc"]

    @pytest.mark.parametrize("name", ["eyelink_asc", "tobii", "generic", "pupil"])
    def test_name_from_the_file(self, imported: Import, tmp_path: Path, name: str) -> None:
        keys, source = {}, tmp_path / "case.7"
        if name == "generic":
            keys = {"columns": NAMES, "unit": "px", "where": {"picture": "a.*"}}
        elif name == "pupil":
            keys = {"file": r"surface_(.)\."}
        write = {"eyelink_asc": exports.asc, "tobii": exports.tobii, "generic": exports.generic, "pupil": exports.pupil}
        suffix = {"eyelink_asc": ".7.asc", "tobii": ".7.tsv", "generic": ".7.csv", "pupil": ""}[name]
        table, _ = imported(name, write[name](source.with_suffix(suffix)), name="file", **keys)
        assert {row[0] for row in table} == ({"a", "b"} if name == "pupil" else {"case.7"})
        if name == "tobii":
            with pytest.raises(ValueError, match=r"format\.file=case_.* finds no image name"):
                imported(name, source.with_suffix(suffix), name="file", file=r"case_(\d+)")


class TestTable:
    @pytest.mark.parametrize("content", ["", "gx,gy\n", "gx,gy\n1\n", "\x00\x01\x02,\x03\n1,2\n"])
    def test_refuses_what_is_no_table(self, imported: Import, tmp_path: Path, content: str) -> None:
        (tmp_path / "s.csv").write_text(content)
        with pytest.raises(ValueError, match=r"s\.csv: "):
            imported("generic", tmp_path / "s.csv", columns=NAMES)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({**NAMES, "image": "image"}, r"no column image; it has picture, gx.*; set format\.columns\.image"),
            ({**NAMES, "image": "pictures"}, "no column pictures; the nearest are picture"),
            ({**NAMES, "duration": "length"}, r"no column length.*; set format\.columns\.duration"),
            ({"picture": "x"}, r"columns\.picture is not a column"),
            ({**NAMES, "image": 1}, r"^format\.columns\.image must be text, got 1$"),
        ],
    )
    def test_names_the_missing_column(self, imported: Import, tmp_path: Path, columns: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            imported("generic", exports.generic(tmp_path / "s.csv"), columns=columns)
        with pytest.raises(ValueError, match=r"no column Stimulus.*; set format\.columns\.image"):
            imported("tobii", exports.tobii(tmp_path / "s.tsv"), columns={"image": "Stimulus"})

    @pytest.mark.parametrize(
        ("written", "cell", "unit", "message"),
        [
            ("px", "660.0", "fraction", r"above 1, .*set format\.unit=px"),
            ("screen", "660.0", "px", r"above 1, .*set format\.unit=fraction"),
            ("px", "left", "px", "line 3, column gx: 'left' is not a number"),
            ("px", "660,0", "px", "line 3 has 6 cells, but the header has 5"),
        ],
    )
    def test_refuses_damaged_cells_and_another_unit(
        self, imported: Import, tmp_path: Path, written: str, cell: str, unit: str, message: str
    ) -> None:
        path = exports.generic(tmp_path / "s.csv", written)
        path.write_text(path.read_text().replace("660.0", cell))
        with pytest.raises(ValueError, match=rf"s\.csv: .*{message}"):
            imported("generic", path, columns=NAMES, unit=unit)

    def test_refuses_a_number_between_tabs_that_can_be_read_in_two_ways(self, imported: Import, tmp_path: Path) -> None:
        path = exports.generic(tmp_path / "s.csv", delimiter="\t")
        text = path.read_text()
        path.write_text(text.replace("1260.0", "1,260").replace("960.0", "960"))
        with pytest.raises(ValueError, match=r"s\.csv: column gx: '1,260' has a decimal comma or thousands; export"):
            imported("generic", path, columns=NAMES)
        path.write_text(text.replace(".0", ",125"))  # the number of decimals tells
        assert imported("generic", path, columns=NAMES)[0][0][1] == pytest.approx(600.125 / 1200)

    def test_rows_that_match(self, imported: Import, tmp_path: Path) -> None:
        source = exports.generic(tmp_path / "s.csv")
        table, _ = imported("generic", source, columns=NAMES, where={"picture": ["x", "b.*"]})
        assert {row[0] for row in table} == {"b.png"}
        with pytest.raises(ValueError, match=r"no row matches format\.where\.picture=c; the column has a\.png, b\.png"):
            imported("generic", source, columns=NAMES, where={"picture": "c"})
        with pytest.raises(ValueError, match=r"no row is a fixation; correct format\.event={'picture': 'c'}"):
            imported("generic", source, columns=NAMES, event={"picture": "c"})

    def test_refuses_a_filter_of_a_missing_column(self, imported: Import, tmp_path: Path) -> None:
        source = exports.generic(tmp_path / "s.csv")
        for name, keys in (("where", {"pictrue": "a.*"}), ("event", {"typo": "1"})):
            message = rf"no column {next(iter(keys))}; .*; correct the name in format\.{name}, or"
            with pytest.raises(ValueError, match=message):
                imported("generic", source, columns=NAMES, **{name: keys})
            imported("generic", source, columns=NAMES, optional=[*keys], **{name: keys})

    def test_no_column_is_left_out_without_a_word(self, imported: Import, tmp_path: Path) -> None:
        source = exports.generic(tmp_path / "s.csv")
        _, result = imported("generic", source, columns={**NAMES, "observer": "who"})
        assert result.warnings == ["1 files have no such column as format.columns.observer=who: s.csv"]
        lacking = {**NAMES, "confidence": "sure"}
        _, result = imported("generic", source, columns=lacking, min_confidence=0.5)
        assert result.warnings == ["1 files have no such column as format.columns.confidence=sure: s.csv"]
        left_right = {"left": "L", "right": "R"}
        for keys, key in (({"trial_columns": ["nope"]}, "trial_columns"), ({"eyes": {"nope": left_right}}, "eyes")):
            _, result = imported("generic", source, columns=NAMES, **keys)
            assert result.warnings == [f"1 files have no such column as format.{key}=nope: s.csv"]
        for keys, message in (
            ({"eyes": {"picture": left_right}}, r"s\.csv: no row matches format\.eyes\.picture=.*; the column has "),
            ({"min_confidence": 0.5}, r"format\.min_confidence needs columns\.confidence"),
            ({"eyes": {"picture": {"left": "(", "right": "b"}}}, r"eyes\.picture must be a regular expression"),
            ({"trial_columns": "picture"}, r"format\.trial_columns must be a list in brackets, got 'picture'"),
            ({"patterns": "*.csv"}, r"format\.patterns must be a list in brackets"),
            ({"shown_offset": 9.0}, r"format\.shown_offset needs shown"),
            ({"flip_y": "no"}, r"format\.flip_y must be true or false, got 'no'"),
        ):
            with pytest.raises(ValueError, match=message):
                imported("generic", source, columns=NAMES, **keys)
