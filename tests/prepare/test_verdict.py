"""The verdict on a recording, with and without masks."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fovea.prepare.verdict import Survey

GAZE = {"fixations": 26.0, "seconds": 6.5, "off_image": 0.0, "coverage": 0.1, "dispersion": 0.15, "agreement": 0.9}


def survey(row: Mapping[str, float], images: int = 20, outside: int = 0, empty: int = 0) -> Survey:
    counts = {"rows": 520 + outside, "used": 520, "outside_image": outside, "unknown_image": 0, "unsafe_name": 0}
    rows = {f"image{number}": {**GAZE, **row} for number in range(images)}
    return Survey(rows, (0.5, 0.3), [f"empty{number}" for number in range(empty)], counts, {})


def against(inside: float, offset: float, dice: float) -> dict[str, float]:
    return {"inside": inside, "offset": offset, "map@0.5": dice - 0.1, "map@0.3": dice}


@pytest.mark.parametrize(
    ("figures", "kind"),
    [
        ((0.90, 0.041, 0.784), "eyelink"),  # as published
        ((0.17, 0.267, 0.17), "webcam"),
        ((0.75, 0.09, 0.65), "eyelink"),
        ((0.75, 0.09, 0.55), "between"),  # all three must be near
        ((0.30, 0.25, 0.40), "webcam"),  # two of three are enough
        ((0.90, 0.041, 0.10), "between"),
        ((0.44, 0.14, 0.47), "between"),
    ],
)
def test_verdict_from_three_figures(figures: tuple[float, float, float], kind: str) -> None:
    assert survey(against(*figures)).verdict().kind == kind


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (survey(against(0.17, 0.267, 0.17)), ["training on this is known to fail", "from 20 masks"]),
        (survey(against(0.9, 0.2, 0.7)), ["Weakest: center offset"]),
        (survey({}), ["nothing suspicious", "masks would tell more", "quality=masks"]),
    ],
)
def test_line(made: Survey, words: list[str]) -> None:
    line = str(made.verdict())
    assert all(word in line for word in words) and "\n" not in line


@pytest.mark.parametrize(
    ("made", "sign"),
    [
        (survey({}, outside=80), "13.3% of the fixations are outside the image"),
        (survey({}, empty=1), "1 of 21 images have no usable one"),
        (survey({"fixations": 3.0}), "3 fixations an image"),
        (survey({"seconds": 0.8}), "0.8 s an image"),
        (
            replace(survey({}), statistics={f"image{n}": {"observers": 4} for n in range(20)}),
            "1.6 s an image and observer",
        ),
    ],
)
def test_suspicious_gaze_without_masks(made: Survey, sign: str) -> None:
    assert made.verdict().headline.startswith("suspicious") and made.verdict().reason == sign


def test_masks_of_some_images() -> None:
    some = survey({})
    mixed = Survey({**some.rows, "with": {**GAZE, **against(0.9, 0.04, 0.8)}}, (0.5, 0.3), [], some.counts, {})
    assert mixed.masks == 1
    assert str(mixed.verdict()).startswith("like an EyeLink") and "from 1 mask." in str(mixed.verdict())
