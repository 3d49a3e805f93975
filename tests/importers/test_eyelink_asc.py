"""Messages, eyes and trials of EyeLink recordings."""

from pathlib import Path

import numpy as np
import pytest

from fovea.importers.recordings.eyelink_asc import EyelinkAsc

from . import exports
from .conftest import importer


@pytest.fixture
def reader() -> EyelinkAsc:
    return importer("eyelink_asc")


def test_message_without_an_image(tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc")
    with pytest.raises(ValueError, match=r"s\.asc: no message matches format\.message=STIMULUS .*format\.name=file"):
        importer("eyelink_asc", message=r"STIMULUS (\S+)").read(path)


def test_eye_that_was_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no data of the left eye; set format\.eye=right"):
        importer("eyelink_asc", eye="left").read(exports.asc(tmp_path / "s.asc", "R"))


@pytest.mark.parametrize("content", ["", "hello\n", "MSG 1 !V IMGLOAD CENTER a.png\n"])
def test_file_without_data(reader: EyelinkAsc, tmp_path: Path, content: str) -> None:
    (tmp_path / "s.asc").write_text(content)
    with pytest.raises(ValueError, match="neither fixations"):
        reader.read(tmp_path / "s.asc")


def test_reads_the_size_of_the_screen(reader: EyelinkAsc, tmp_path: Path) -> None:
    assert reader.read(exports.asc(tmp_path / "s.asc")).screen == exports.SCREEN


def test_coordinates_start_at_the_corner_of_the_display(reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc")
    path.write_text(path.read_text().replace("DISPLAY_COORDS 0 0 1919 1079", "DISPLAY_COORDS 10 20 1929 1099"))
    recording = reader.read(path)
    assert (recording.screen, recording.trials[0].x[0], recording.trials[0].y[0]) == (exports.SCREEN, 950.0, 520.0)


def test_fixations_before_the_image_belong_to_none(reader: EyelinkAsc, tmp_path: Path) -> None:
    recording = reader.read(exports.asc(tmp_path / "s.asc"))
    assert [len(trial.x) for trial in recording.trials] == [3, 2] and recording.stray == 2
    assert all(trial.start.min() > 0 for trial in recording.trials)


def test_reads_lost_and_negative_positions(reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc")
    path.write_text(path.read_text().replace("660.0", "   .").replace("100.0", "-31.5"))
    first, second = reader.read(path).trials
    assert np.isnan(first.x[1]) and second.x[1] == -31.5


def test_the_recorded_eyes_may_change(reader: EyelinkAsc, tmp_path: Path) -> None:
    lines = [
        "MSG\t95 TRIALID a.png",
        "START\t100",
        "SAMPLES\tGAZE\tRIGHT",
        "100 5 6 7 ...",
        "102 5 6 7 ...",
        "END\t110",
    ]
    lines += [
        "MSG\t195 TRIALID b.png",
        "START\t200",
        "SAMPLES\tGAZE\tLEFT\tRIGHT",
        "200 1 2 3 5 6 7 ...",
        "202 . . 0 5 6 7",
    ]
    (tmp_path / "s.asc").write_text("\n".join(lines))
    first, second = reader.read(tmp_path / "s.asc").trials
    assert (first.x.tolist(), second.x.tolist(), second.pupil.tolist()) == ([5, 5], [3, 5], [5, 3.5])
    assert importer("eyelink_asc", eye="right").read(tmp_path / "s.asc").trials[1].x.tolist() == [5, 5]


def test_keeps_fixations_of_one_eye(reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc", "LR")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not (line.startswith("EFIX R") and "664.0" in line)))
    assert reader.read(path).trials[0].x.tolist() == [960.0, 656.0, 1260.0]


def test_trial_ends_with_its_recording(reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc")
    late = exports.FIRST + 1500  # after the END of the first trial, before the second image
    path.write_text(path.read_text().replace("MSG\t", f"EFIX R   {late}\t{late + 99}\t99\t 1.0\t 1.0\t 1\nMSG\t", 1))
    assert [len(trial.x) for trial in reader.read(path).trials] == [3, 2]


@pytest.mark.parametrize(
    ("key", "value"), [("name", "colum"), ("eye", "third"), ("message", "["), ("message", "TRIALID")]
)
def test_refuses_invalid_keys(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{key} must "):
        importer("eyelink_asc", **{key: value})
