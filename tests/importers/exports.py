"""Write one session at a screen of 1920 x 1080 as the program of each eye tracker exports it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

SCREEN = (1920, 1080)
PLACE = (360, 140, 1200, 800)  # left, top, width, height of every image on it
SIZE = (400, 600)  # height, width of the images' own pixels
# x, y in pixels of the screen, start in ms of the trial, duration in ms; the last of b is off the image
SESSION = {
    "a.png": [(960.0, 540.0, 40, 200), (660.0, 340.0, 280, 160), (1260.0, 740.0, 480, 300)],
    "b.png": [(1000.0, 500.0, 60, 240), (100.0, 500.0, 340, 180)],
}
PAUSE = 1000  # ms between trials
FIRST = 5_000_000  # of the tracker's clock, ms


ON_SURFACE = "world_timestamp,world_index,fixation_id,start_timestamp,duration,dispersion,norm_pos_x,norm_pos_y"
ON_SURFACE += ",x_scaled,y_scaled,on_surf"
IN_THE_WORLD = "id,start_timestamp,duration,start_frame_index,end_frame_index,norm_pos_x,norm_pos_y,dispersion"
IN_THE_WORLD += ",confidence,method"


def expected() -> list[tuple[str, float, float, int, int]]:
    """Image, fractions of it, start and duration of each fixation."""
    left, top, width, height = PLACE
    return [
        (image, (x - left) / width, (y - top) / height, start, duration)
        for image, fixations in SESSION.items()
        for x, y, start, duration in fixations
    ]


def trials() -> Iterator[tuple[str, int, list[tuple[float, float, int, int]]]]:
    """Each image, the tracker's time at which it appeared, and its fixations."""
    onset = FIRST
    for image, fixations in SESSION.items():
        yield image, onset, fixations
        onset += fixations[-1][2] + fixations[-1][3] + PAUSE


def samples(fixations: list[tuple[float, float, int, int]], step: int = 2) -> Iterator[tuple[int, float, float]]:
    """Time in the trial and position every `step` ms: still in a fixation (to half a pixel), lost between two."""
    rng = np.random.default_rng(0)
    for time in range(0, fixations[-1][2] + fixations[-1][3] + 20, step):
        at = next(((x, y) for x, y, start, duration in fixations if start <= time < start + duration), None)
        x, y = at + rng.uniform(-0.5, 0.5, 2) if at else (np.nan, np.nan)
        yield time, x, y


def asc(path: Path, eyes: str = "R", events: bool = True, image: Callable[[str], str] = str) -> Path:
    """EDF2ASC's text: `eyes` R, L or LR (the left eye 4 px further left, the right 4 px further right)."""
    shift = {"L": -4.0, "R": 4.0} if len(eyes) == 2 else {eyes: 0.0}
    names = "\t".join({"L": "LEFT", "R": "RIGHT"}[eye] for eye in eyes)
    lines = [
        "** CONVERTED FROM session.edf using edfapi 4.2.1 on Mon Mar  3 10:11:12 2025",
        "** VERSION: EYELINK II 1",
        "**",
        "",
        f"MSG\t{FIRST - 900} DISPLAY_COORDS 0 0 1919 1079",
        f"MSG\t{FIRST - 800} !CAL VALIDATION HV9 R RIGHT GOOD ERROR 0.31 avg. 0.62 max  OFFSET 0.12 deg. 2.1,3.2 pix.",
    ]
    for number, (name, onset, fixations) in enumerate(trials(), start=1):
        lines += [
            f"MSG\t{onset - 60} TRIALID {number}",
            f"START\t{onset - 50} \t{names}\tSAMPLES\tEVENTS",
            "PRESCALER\t1",
            "PUPIL\tAREA",
            f"EVENTS\tGAZE\t{names}\tRATE\t 500.00\tTRACKING\tCR\tFILTER\t2",
            f"SAMPLES\tGAZE\t{names}\tRATE\t 500.00\tTRACKING\tCR\tFILTER\t2",
        ]
        # Before the image appears the eye rests on a cross, which is no part of the trial.
        if events:
            lines += [f"EFIX {eye}   {onset - 48}\t{onset - 4}\t44\t  960.0\t  540.0\t   1100" for eye in eyes]
        lines.append(f"MSG\t{onset} 0 !V IMGLOAD CENTER {image(name)} 960 540")
        if events:
            for x, y, start, duration in fixations:
                span = f"{onset + start}\t{onset + start + duration - 2}\t{duration}"  # with the last sample
                lines += [f"SFIX {eye}   {onset + start}" for eye in eyes]
                lines += [f"EFIX {eye}   {span}\t  {x + shift[eye]:.1f}\t  {y:.1f}\t   1234" for eye in eyes]
                lines.append(f"ESACC {eyes[0]}  {onset}\t{onset + 9}\t9\t 1.0\t 2.0\t 3.0\t 4.0\t 5.5\t 210")
        else:
            for time, x, y in samples(fixations):
                cells = [
                    "   .\t   .\t    0.0" if np.isnan(x) else f"  {x + shift[eye]:.1f}\t  {y:.1f}\t 1234.0"
                    for eye in eyes
                ]
                lines.append("\t".join([str(onset + time), *cells, "..."]))
        end = onset + fixations[-1][2] + fixations[-1][3] + 20
        lines += [f"END\t{end} \tSAMPLES\tEVENTS\tRES\t  47.18\t  45.75", f"MSG\t{end + 2} TRIAL_RESULT 0"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tobii(path: Path, events: bool = True, decimal: str = ".", unit: str = "us", encoding: str = "utf-8") -> Path:
    """Tobii Pro Lab's data export, a row a sample."""
    scale, mark = {"ms": (1, " [ms]"), "us": (1000, " [μs]")}[unit]
    header = [f"Recording timestamp{mark}", "Sensor", "Participant name", "Presented Stimulus name"]
    header += [f"Gaze point {axis}" for axis in ("X [DACS px]", "Y [DACS px]", "X [MCS px]")]
    header += ["Eye movement type", "Gaze event duration [ms]", "Fixation point X [DACS px]"]
    header += ["Fixation point Y [DACS px]"]
    rows = []
    for image, onset, fixations in trials():
        for time, x, y in samples(fixations, step=4):
            fixation = next((each for each in fixations if each[2] <= time < each[2] + each[3]), None)
            gaze = ["", ""] if np.isnan(x) else [f"{x:.1f}", f"{y:.1f}"]
            found = ["Fixation", fixation[3], *fixation[:2]] if fixation else ["EyesNotFound", 4, "", ""]
            found = found if events else [""] * 4
            rows.append([(onset - FIRST + time) * scale, "Eye Tracker", "P01", image, *gaze, "77.0", *found])
            if time % 40 == 0:
                rows.append([(onset - FIRST + time) * scale + 1, "Mouse", "P01", "", *[""] * 7])
        rows.append([(onset - FIRST + time + 4) * scale, "Eye Tracker", "P01", *[""] * 8])  # between two stimuli
    text = "\n".join(
        "\t".join(str(cell).replace(".", decimal) if at != 3 else cell for at, cell in enumerate(row)) for row in rows
    )
    path.write_text("\t".join(header) + "\n" + text + "\n", encoding=encoding)
    return path


def pupil(folder: Path, surface: bool = True, events: bool = True) -> Path:
    """Pupil Player's export, a file an image; on a surface (the image), a row for each picture of the world camera."""
    left, top, width, height = PLACE
    for image, onset, fixations in trials():
        where = folder if surface else folder / image
        where.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, (x, y, start, duration) in enumerate(fixations, start=1):
            at = (onset + start) / 1000
            norm = ((x - left) / width, 1 - (y - top) / height)
            if surface:
                rows += [
                    [f"{at + frame / 30:.6f}", frame, number, f"{at:.6f}", duration, 0.8, *norm, "", "", True]
                    for frame in range(3)
                ]
            else:
                rows.append([number, f"{at:.6f}", duration, 1, 2, *norm, 0.8, 0.95, "gaze"])
        header = ON_SURFACE if surface else IN_THE_WORLD
        if not events:
            header = "gaze_timestamp,world_index,confidence,norm_pos_x,norm_pos_y"
            rows = [
                [f"{(onset + at) / 1000:.6f}", 0, 0.98, (x - left) / width, 1 - (y - top) / height]
                if x == x
                else [f"{(onset + at) / 1000:.6f}", 0, 0.1, 0.5, 0.5]
                for at, x, y in samples(fixations, step=8)
            ]
        name = f"{'fixations' if events else 'gaze_positions'}{f'_on_surface_{image}' if surface else ''}.csv"
        (where / name).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return folder


def generic(path: Path, unit: str = "px", events: bool = True, time: float = 1.0, delimiter: str = ",") -> Path:
    """A table that somebody made; `time` is of one unit in ms."""
    left, top, width, height = PLACE
    spans = {"px": (0, 0, 1, 1), "screen": (0, 0, *SCREEN), "fraction": (left, top, width, height)}
    x0, y0, w, h = spans[unit]
    rows = []
    for image, onset, fixations in trials():
        if events:
            rows += [
                [image, (x - x0) / w, (y - y0) / h, start / time, duration / time]
                for x, y, start, duration in fixations
            ]
        else:
            seen = samples(fixations)
            rows += [[image, (x - x0) / w, (y - y0) / h, (onset + at) / time, ""] for at, x, y in seen]
    lines = [["picture", "gx", "gy", "t", "ms"], *rows]
    path.write_text("\n".join(delimiter.join(map(str, line)) for line in lines) + "\n", encoding="utf-8")
    return path
