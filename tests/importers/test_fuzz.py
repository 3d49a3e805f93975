"""Damaged recordings end in a ValueError that names the file, or are read."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from . import exports
from .conftest import importer


def smi(path: Path) -> Path:
    text = "Subject:\tS1\nStimulus:\ta.png\n\nTable Header for Fixations:\n"
    text += "Event Type\tTrial\tNumber\tStart\tEnd\tDuration\tLocation X\tLocation Y\n\n"
    for number in range(9):
        for eye in "LR":
            start = 300_000 * number
            text += f"Fixation {eye}\t1\t{number}\t{start}\t{start + 200_000}\t200000\t{50.5 * number}\t250.0\n"
    path.write_text(text)
    return path


def jspsych(path: Path) -> Path:
    box = {"top": 50, "bottom": 650, "left": 100, "right": 900}
    gaze = [{"x": 288, "y": 138, "t": 30 * number} for number in range(9)]
    item = {"stimulus": "a.png", "webgazer_data": gaze, "webgazer_targets": {"#image": box}}
    path.write_text(json.dumps([{"stimulus": "x"}, item, item]))
    return path


MUTATIONS = 500
INSERTED = [b"\n", b"\t", b",", b"nan", b"inf", b"-", b"1e999", b'"', b"\0", b".", b"\xff"]
FILES: dict[str, Callable[[Path], tuple[str, Path]]] = {
    "eyelink events": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", "LR")),
    "eyelink samples": lambda path: ("eyelink_asc", exports.asc(path / "s.asc", events=False)),
    "tobii": lambda path: ("tobii", exports.tobii(path / "s.tsv")),
    "pupil": lambda path: ("pupil", next(exports.pupil(path / "p").iterdir())),
    "smi": lambda path: ("smi", smi(path / "s.txt")),
    "jspsych": lambda path: ("jspsych", jspsych(path / "s.json")),
    "pupil samples": lambda path: ("pupil", next(exports.pupil(path / "p", events=False).iterdir())),
}


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content with up to five changes: a byte, a part removed or repeated, a token inserted, the end cut."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(data))
        change = rng.randrange(5)
        if change == 0:
            data[place] = rng.randrange(256)
        elif change == 1 and len(data) > 99:
            del data[place : place + rng.randrange(1, 40)]
        elif change == 2:
            source = rng.randrange(len(data))
            data[place:place] = data[source : source + rng.randrange(1, 60)]
        elif change == 3:
            data[place:place] = rng.choice(INSERTED)
        else:
            data = data[: place + 1]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_never_raise_anything_else(name: str, tmp_path: Path) -> None:
    format_name, source = FILES[name](tmp_path)
    content, reader, rng = source.read_bytes()[:20000], importer(format_name), random.Random(0)
    for _ in range(MUTATIONS):
        source.write_bytes(mutated(content, rng))
        try:
            reader.read(source)
        except ValueError as error:
            assert source.name in str(error)
