"""Write what the program of an eye tracker would export, for the tutorial "Your own tracker".

python examples/recording.py FIXATIONS.csv RECORDING.tsv

The fixations are those of `fovea-simulate`. The recording has the columns of a Tobii data export: a row every 1/60 s,
times in microseconds of one clock, and positions in pixels of a screen that shows each image as large as possible.
"""

import csv
import sys
from itertools import groupby
from pathlib import Path

WIDTH, HEIGHT = 1920, 1080  # pixels of the screen
STEP = 16_667  # microseconds between two rows
REST = 500_000  # microseconds without a stimulus, after each image
COLUMNS = {
    "Recording timestamp [μs]": "time",
    "Participant name": "participant",
    "Presented Stimulus name": "image",
    "Gaze point X": "x",
    "Gaze point Y": "y",
    "Eye movement type": "movement",
    "Gaze event duration": "duration",
    "Fixation point X": "x",
    "Fixation point Y": "y",
}


def on_screen(row: dict[str, str]) -> tuple[str, str]:
    """Return the position of a fixation in pixels of the screen."""
    height, width = int(row["IMAGE_HEIGHT"]), int(row["IMAGE_WIDTH"])
    scale = min(WIDTH / width, HEIGHT / height)
    x = WIDTH / 2 + (float(row["CURRENT_FIX_X"]) - 0.5) * scale * width
    y = HEIGHT / 2 + (float(row["CURRENT_FIX_Y"]) - 0.5) * scale * height
    return f"{x:.1f}", f"{y:.1f}"


def main(fixations: Path, recording: Path) -> None:
    """Write the recording of one participant."""
    with fixations.open(newline="", encoding="utf-8") as table:
        trials = [(image, list(rows)) for image, rows in groupby(csv.DictReader(table), key=lambda row: row["IMAGE"])]
    onset, samples = 1_000_000, []
    for image, rows in trials:
        for row in rows:
            first = onset + 1000 * int(row["CURRENT_FIX_START"])
            last = first + 1000 * int(row["CURRENT_FIX_DURATION"])
            x, y = on_screen(row)
            seen = {"image": image, "x": x, "y": y, "movement": "Fixation", "duration": row["CURRENT_FIX_DURATION"]}
            samples += [seen | {"time": time} for time in range(first, last, STEP)]
            samples.append({"image": image, "time": last, "movement": "Saccade"})
        samples.append({"time": last + STEP, "movement": "EyesNotFound"})
        onset = last + REST
    with recording.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([({"participant": "P01"} | row).get(name, "") for name in COLUMNS.values()] for row in samples)
    print(f"{len(samples)} rows about {len(trials)} images in {recording}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
