"""Messages, eyes and trials of EyeLink recordings."""

import re
from pathlib import Path

import numpy as np
import pytest

from fovea.importers.recordings.eyelink_asc import EyelinkAsc

from . import exports
from .conftest import importer


@pytest.fixture
def reader() -> EyelinkAsc:
    return importer("eyelink_asc")


@pytest.mark.parametrize("content", ["", "hello\n", "MSG 1 !V IMGLOAD CENTER a.png\n"])
def test_file_without_data(reader: EyelinkAsc, tmp_path: Path, content: str) -> None:
    (tmp_path / "s.asc").write_text(content)
    with pytest.raises(ValueError, match="neither fixations"):
        reader.read(tmp_path / "s.asc")


def test_screen_positions_and_trials(reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc")
    text, late = path.read_text(), exports.FIRST + 1500  # after the END of the first trial, before the second image
    fixation = f"EFIX R   {late}\t{late + 99}\t99\t 1.0\t 1.0\t 1\n"
    text = re.sub(r"(?m)^(?=.* TRIALID 2)", fixation, text)
    text = text.replace("660.0", "   .").replace("100.0", "-31.5")
    for corner, far, shift in (("0 0", "1919 1079", 0), ("10 20", "1929 1099", 10)):
        path.write_text(text.replace("DISPLAY_COORDS 0 0 1919 1079", f"DISPLAY_COORDS {corner} {far}"))
        recording = reader.read(path)
        first, second = recording.trials
        assert recording.screen == exports.SCREEN and recording.stray == 3  # before and after the images
        assert (len(first.x), len(second.x)) == (3, 2) and min(first.start.min(), second.start.min()) > 0
        assert (first.x[0], first.y[0]) == (960.0 - shift, 540.0 - 2 * shift)
        assert np.isnan(first.x[1]) and second.x[1] == -31.5 - shift


def test_the_recorded_eyes_may_change(reader: EyelinkAsc, tmp_path: Path) -> None:
    text = "MSG\t95 TRIALID a.png\nSTART\t100\nSAMPLES\tGAZE\tRIGHT\n100 5 6 7 ...\n102 5 6 7 ...\nEND\t110\n"
    text += "MSG\t195 TRIALID b.png\nSTART\t200\nSAMPLES\tGAZE\tLEFT\tRIGHT\n200 1 2 3 5 6 7 ...\n202 . . 0 5 6 7"
    (tmp_path / "s.asc").write_text(text)
    first, second = reader.read(tmp_path / "s.asc").trials
    assert (first.x.tolist(), second.x.tolist(), second.pupil.tolist()) == ([5, 5], [3, 5], [5, 3.5])
    assert importer("eyelink_asc", eye="right").read(tmp_path / "s.asc").trials[1].x.tolist() == [5, 5]


@pytest.mark.parametrize("events", [True, False])
def test_two_recordings_in_one_file_are_refused(events: bool, reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc", "LR", events=events)
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match=r"s\.asc: the time goes back, so the file has several recordings; split it"):
        reader.read(path)


def test_keeps_fixations_of_one_eye(reader: EyelinkAsc, tmp_path: Path) -> None:
    path = exports.asc(tmp_path / "s.asc", "LR")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not (line.startswith("EFIX R") and "664.0" in line)))
    assert reader.read(path).trials[0].x.tolist() == [960.0, 656.0, 1260.0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "colum"}, "name must "),
        ({"eye": "third"}, "eye must "),
        ({"message": "["}, "message must "),
        ({"message": "TRIALID"}, "message must "),
        (
            {"message": r"STIMULUS (\S+)"},
            r"s\.asc: no message matches format\.message=STIMULUS .*change it or format\.name",
        ),
        ({"eye": "left"}, r"no data of the left eye; set format\.eye=right"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        importer("eyelink_asc", **keys).read(exports.asc(tmp_path / "s.asc", "R"))
