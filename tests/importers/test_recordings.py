"""One session, exported by each program, is read as the same fixations."""

from pathlib import Path

import numpy as np
import pytest

from fovea.importers.detection import Detection
from fovea.importers.geometry import Place, Screen

from . import exports
from .conftest import Import, importer, rows

NONE = Screen()
GENERIC = {"image": "picture", "x": "gx", "y": "gy", "start": "t", "duration": "ms"}
IN_PIXELS = Detection(unit="px", dispersion=8.0, velocity=400.0, min_duration=60)

EVENTS = {
    "eyelink": lambda path: ("eyelink_asc", exports.asc(path / "s.asc"), {}),
    "eyelink, left": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", "L"), {"eye": "left"}),
    "eyelink, both": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", "LR"), {}),
    "tobii": lambda path: ("tobii", exports.tobii(path / "s.tsv"), {}),
    "tobii, ms, decimal comma": lambda path: ("tobii", exports.tobii(path / "s.tsv", decimal=",", unit="ms"), {}),
    "tobii, utf-16": lambda path: ("tobii", exports.tobii(path / "s.tsv", encoding="utf-16"), {}),
    "pupil, surface": lambda path: ("pupil", exports.pupil(path / "s"), {}),
    "pupil, world": lambda path: ("pupil", exports.pupil(path / "s", surface=False), {}),
    "generic, px": lambda path: ("generic", exports.generic(path / "s.csv"), {"columns": GENERIC}),
    "generic, screen, s": lambda path: (
        "generic",
        exports.generic(path / "s.csv", "screen", time=1000),
        {"columns": GENERIC, "unit": "screen", "time_unit": "s"},
    ),
    "generic, fraction, us": lambda path: (
        "generic",
        exports.generic(path / "s.csv", "fraction", time=0.001, delimiter=";"),
        {"columns": GENERIC, "unit": "fraction", "time_unit": "us"},
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
        {"columns": {**GENERIC, "duration": None}},
    ),
}


def start_of(name: str, table: list, at: int) -> float:
    """Pupil's table does not say when the image appeared: its clock begins with the first fixation."""
    return table[at][3] + (exports.SESSION[table[at][0]][0][2] if name.startswith("pupil") else 0)


@pytest.mark.parametrize("export", EVENTS)
def test_every_export_of_fixations_gives_the_same_table(export: str, imported: Import, tmp_path: Path) -> None:
    name, source, keys = EVENTS[export](tmp_path)
    table, outcome = imported(name, source, **keys)
    expected = exports.expected()
    assert [row[0] for row in table] == [row[0] for row in expected]
    np.testing.assert_allclose([row[1:3] for row in table], [row[1:3] for row in expected], atol=2e-6)
    assert [start_of(name, table, at) for at in range(len(table))] == pytest.approx(
        [row[3] for row in expected], abs=1e-3
    )
    assert [row[4] for row in table] == [row[4] for row in expected]
    assert outcome.lines[0].startswith("5 fixations on 2 images (1 off the image, 0 without a position)")
    assert not outcome.failures


@pytest.mark.parametrize("method", ["idt", "ivt"])
@pytest.mark.parametrize("export", SAMPLES)
def test_fixations_are_found_in_samples(export: str, method: str, imported: Import, tmp_path: Path) -> None:
    pytest.importorskip("pymovements")
    name, source, keys = SAMPLES[export](tmp_path)
    detection = Detection(method, "px", dispersion=8.0, velocity=500.0, min_duration=60)
    table, _ = imported(name, source, detection=detection, **keys)
    expected = exports.expected()
    assert [row[0] for row in table] == [row[0] for row in expected]
    np.testing.assert_allclose([row[1:3] for row in table], [row[1:3] for row in expected], atol=1e-3)
    # Detection is within a few samples (of 2 to 8 ms) of both ends.
    np.testing.assert_allclose([row[3] for row in table], [row[3] for row in expected], atol=25)
    np.testing.assert_allclose([row[4] for row in table], [row[4] for row in expected], atol=45)


def test_thresholds_in_degrees_use_the_geometry_of_the_screen(imported: Import, tmp_path: Path) -> None:
    pytest.importorskip("pymovements")
    source = exports.asc(tmp_path / "s.asc", events=False)
    near = Screen(*exports.SCREEN, 53.0, 30.0, 60.0)
    assert len(imported("eyelink_asc", source, screen=near)[0]) == 5
    strict = Detection(dispersion=0.001)  # about a twentieth of the noise, half a pixel to each side
    with pytest.raises(ValueError, match="no fixation"):
        imported("eyelink_asc", source, screen=near, detection=strict)


def test_samples_in_degrees_without_geometry_are_refused(imported: Import, tmp_path: Path) -> None:
    pytest.importorskip("pymovements")
    with pytest.raises(ValueError, match=r"screen\.width_cm, screen\.height_cm and screen\.distance_cm are not given"):
        imported("tobii", exports.tobii(tmp_path / "s.tsv", events=False))


def test_without_pymovements_it_says_how_to_install_it(
    imported: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymovements", None)
    with pytest.raises(ValueError, match=r"pip install 'pymovements>="):
        imported("tobii", exports.tobii(tmp_path / "s.tsv", events=False), detection=IN_PIXELS)


def test_contained_images_are_centred_at_their_own_ratio(imported: Import, dataset, tmp_path: Path) -> None:
    # 600 x 400 fills the height of 1920 x 1080: 1620 wide, from 150 on; EyeLink says the screen itself.
    table, _ = imported(
        "eyelink_asc", exports.asc(tmp_path / "s.asc"), screen=NONE, place=Place(fit="contain"), dataset=dataset
    )
    assert table[1][1:3] == pytest.approx(((660 - 150) / 1620, 340 / 1080), abs=1e-6)
    assert (tmp_path / "out.csv").read_text().splitlines()[1].endswith(",400,600")


def test_native_images_are_centred_pixel_by_pixel(imported: Import, dataset, tmp_path: Path) -> None:
    table, _ = imported("tobii", exports.tobii(tmp_path / "s.tsv"), place=Place(fit="native"), dataset=dataset)
    assert table[1][1:3] == pytest.approx(((660 - 660) / 600, (340 - 340) / 400), abs=1e-6)


@pytest.mark.parametrize(
    ("screen", "place", "message"),
    [
        (NONE, Place(fit="contain"), r"screen\.width and screen\.height are not given"),
        (NONE, Place(), r"the place of the image is not given: add image\.left"),
    ],
)
def test_missing_geometry_is_asked_for(
    imported: Import, dataset, tmp_path: Path, screen: Screen, place: Place, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        imported("tobii", exports.tobii(tmp_path / "s.tsv"), screen=screen, place=place, dataset=dataset)
    assert not (tmp_path / "out.csv").exists()


def test_contain_without_the_images_asks_for_them(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fit=contain needs the size of each image: add data\.root"):
        imported("tobii", exports.tobii(tmp_path / "s.tsv"), place=Place(fit="contain"))


def test_images_that_the_data_set_does_not_have_are_left_out(imported: Import, dataset, tmp_path: Path) -> None:
    (tmp_path / "data" / "images" / "b.png").unlink()
    table, outcome = imported("tobii", exports.tobii(tmp_path / "s.tsv"), dataset=dataset)
    assert {row[0] for row in table} == {"a.png"}
    assert outcome.warnings == ["1 images are not in data.root and left out: b.png"]


def test_a_bad_file_does_not_stop_the_others(imported: Import, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    exports.asc(folder / "good.asc")
    (folder / "bad.asc").write_text("MSG 1 TRIALID 1\nEFIX R 1 2\n")
    table, outcome = imported("eyelink_asc", folder)
    assert len(table) == 5
    assert list(outcome.failures) == ["bad.asc"]
    assert "cut short or damaged" in outcome.failures["bad.asc"]


def test_two_observers_of_an_image_are_numbered_on(imported: Import, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for name in ("one", "two"):
        exports.asc(folder / f"{name}.asc")
    imported("eyelink_asc", folder)
    table = rows(tmp_path / "out.csv")
    assert [row["CURRENT_FIX_INDEX"] for row in table if row["IMAGE"] == "a.png"] == ["1", "2", "3", "4", "5", "6"]


def test_a_hostile_name_is_only_a_name(imported: Import, tmp_path: Path) -> None:
    for image in ("../../x.png", "..\\..\\x.png", "/etc/x.png", "C:\\x.png"):
        table, _ = imported("eyelink_asc", exports.asc(tmp_path / "s.asc", image=lambda _, name=image: name))
        assert {row[0] for row in table} == {"x.png"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "s.asc"]


@pytest.mark.parametrize("content", ["", "gx,gy\n", "gx,gy\n1\n", "\x00\x01\x02,\x03\n1,2\n"])
def test_what_is_no_table_is_refused(imported: Import, tmp_path: Path, content: str) -> None:
    (tmp_path / "s.csv").write_text(content)
    with pytest.raises(ValueError, match=r"s\.csv: "):
        imported("generic", tmp_path / "s.csv", columns=GENERIC)


def test_pixels_where_fractions_are_expected(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"s\.csv: most coordinates are above 1, .* set format\.unit=px"):
        imported("generic", exports.generic(tmp_path / "s.csv"), columns=GENERIC, unit="fraction")


def test_fractions_where_pixels_are_expected(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no coordinate is above 1, .* set format\.unit=fraction"):
        imported("generic", exports.generic(tmp_path / "s.csv", "screen"), columns=GENERIC)


def test_text_in_place_of_a_number_is_named_with_its_line(imported: Import, tmp_path: Path) -> None:
    path = exports.generic(tmp_path / "s.csv")
    path.write_text(path.read_text().replace("660.0", "left"))
    with pytest.raises(ValueError, match=r"s\.csv: line 3, column gx: 'left' is no number"):
        imported("generic", path, columns=GENERIC)


def test_a_column_that_is_not_there_is_named(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column image; the header names picture, gx"):
        imported("generic", exports.generic(tmp_path / "s.csv"))
    with pytest.raises(ValueError, match="no column Stimulus"):
        imported("tobii", exports.tobii(tmp_path / "s.tsv"), column="Stimulus")


@pytest.mark.parametrize("name", ["eyelink_asc", "tobii", "generic", "pupil"])
def test_the_name_can_come_from_the_file(imported: Import, tmp_path: Path, name: str) -> None:
    keys = {"generic": {"columns": GENERIC, "unit": "px"}, "pupil": {"file": r"surface_(.)\."}}.get(name, {})
    made = {
        "eyelink_asc": lambda: exports.asc(tmp_path / "case.7.asc"),
        "tobii": lambda: exports.tobii(tmp_path / "case.7.tsv"),
        "generic": lambda: exports.generic(tmp_path / "case.7.csv"),
        "pupil": lambda: exports.pupil(tmp_path / "s"),
    }
    table, _ = imported(name, made[name](), name="file", **keys)
    assert {row[0] for row in table} == ({"a", "b"} if name == "pupil" else {"case.7"})


def test_a_file_whose_name_holds_none_is_refused(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its name holds no image's name by format\.file=case_"):
        imported("tobii", exports.tobii(tmp_path / "s.tsv"), name="file", file=r"case_(\d+)")


@pytest.mark.parametrize(
    ("key", "value"), [("name", "colum"), ("eye", "third"), ("message", "["), ("message", "TRIALID")]
)
def test_keys_that_make_no_sense_are_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"format\.{key}: "):
        importer("eyelink_asc", **{key: value})
