"""A verdict on the quality of labels; of gaze, whether training on it can work, compared with published values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea.prepare.quality import INSIDE, Rows, column, dice_key

PUBLISHED = {INSIDE: (0.17, 0.90), "offset": (0.267, 0.041)}
"""Figures of a webcam, on which training failed, and of an EyeLink 1000, on Kvasir-SEG (Zhong et al. 2024)."""

_NEAR, _FAR = 0.75, 0.25  # on the way from a webcam (0) to an EyeLink (1)
_OFF_IMAGE, _EMPTY = 0.05, 0.02  # shares above which a recording is suspicious; those of the EyeLink are near 0
_FIXATIONS, _SECONDS = 5, 2.0  # medians below which an image was hardly looked at
_TIE = 0.005  # a difference of Dice that says nothing
_ASK = "Gaze that missed its targets looks like gaze that met them: draw about 50 masks and set quality=masks."


@dataclass(frozen=True)
class Scale:
    """A value between two published ones, see `PUBLISHED`."""

    name: str
    value: float
    webcam: float
    eyelink: float
    digits: int = 2  # decimals to print

    @property
    def closeness(self) -> float:
        """The position of the value between the webcam (0) and the EyeLink (1), clipped."""
        return float(np.clip((self.value - self.webcam) / (self.eyelink - self.webcam), 0.0, 1.0))

    def __str__(self) -> str:
        published = f"EyeLink {self.text(self.eyelink)}, webcam {self.text(self.webcam)}"
        return f"{self.name} {self.text(self.value)} ({published})"

    def text(self, figure: float) -> str:
        """Return a figure of this scale as it is printed."""
        return f"{figure:.{self.digits}f}"


@dataclass(frozen=True)
class Verdict:
    """A verdict in words; with masks also as scales. `kind` is `eyelink`, `webcam`, `between` or `unknown`."""

    kind: str
    headline: str
    reason: str
    advice: str
    scales: Sequence[Scale] = ()

    def __str__(self) -> str:
        return f"{self.headline}: {self.reason}. {self.advice}"


@dataclass(frozen=True)
class Survey:
    """The outcome of the prepare stage for a data set; mappings are by image ID, except for `counts`."""

    rows: Rows  # quality, see `fovea.prepare.quality.measure`; empty if it was not measured
    thresholds: Sequence[float]  # of the levels
    empty: Sequence[str]  # images of train and val without a usable label; those of test need none
    counts: Mapping[str, int]  # how much was read and dropped, see `Annotations.summary`
    failures: Mapping[str, str]  # one line for each image that failed
    statistics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of the maps
    validations: Sequence[str] = ()  # one line for each validation of the eye tracker
    damaged: Mapping[str, str] = field(default_factory=dict)  # one line for each mask that could not be compared

    @property
    def images(self) -> int:
        """The number of images with a usable label, or in need of one."""
        return len(self.rows) + len(self.empty) + len(self.failures)

    @property
    def masks(self) -> int:
        """The number of images that were compared with their mask."""
        return len(column(self.rows, dice_key("map", self.thresholds[0])))

    @property
    def gaze(self) -> bool:
        """Whether the labels are gaze."""
        return any("fixations" in row for row in self.rows.values())

    @property
    def source(self) -> str:
        """What the drawn map is called."""
        return "heatmap" if self.gaze else "label"

    @property
    def off_image(self) -> float:
        """The share of fixations on known images that are outside them."""
        known = self.counts["rows"] - self.counts["unknown_image"] - self.counts["unsafe_name"]
        return self.counts["outside_image"] / max(known, 1)

    def verdict(self) -> Verdict:
        """Return the verdict from the masks, or the little that can be told without masks or about other labels."""
        if not self.gaze:
            return _of_labels(self)
        return _with_masks(self) if self.masks else _without_masks(self)


def _of_labels(survey: Survey) -> Verdict:
    """Return what the refinement changed, and whether that was better; no figures are published for such labels."""
    agreement = f"Dice of label and map {column(survey.rows, 'agreement').mean():.2f}"
    if not survey.masks:
        advice = "Draw about 50 masks and set quality=masks to compare with them."
        return Verdict("unknown", "masks would tell how good the maps are", agreement, advice)
    best = {
        source: max(float(column(survey.rows, dice_key(source, t)).mean()) for t in survey.thresholds)
        for source in ("map", "label")
    }
    reason = f"Dice of the map {best['map']:.3f}, of the label {best['label']:.3f} (best level)"
    reason += f"; from {survey.masks} mask{'s' if survey.masks > 1 else ''}"
    if best["map"] < best["label"] - _TIE:
        return Verdict("unknown", "the refinement makes the maps worse", reason, "Set another refine, or refine=none.")
    better = best["map"] > best["label"] + _TIE
    headline = "the refinement makes the maps better" if better else "the maps are as good as the labels"
    return Verdict("unknown", headline, reason, "Compare refiners by their best level.")


def _with_masks(survey: Survey) -> Verdict:
    rows = survey.rows
    dice = max(float(column(rows, dice_key("map", t)).mean()) for t in survey.thresholds)
    scales = (
        Scale("fixations inside (median)", float(np.median(column(rows, INSIDE))), *PUBLISHED[INSIDE]),
        Scale("center offset (mean)", float(column(rows, "offset").mean()), *PUBLISHED["offset"], digits=3),
        # The webcam's maps are not published: this is the simulated webcam, which agrees with the other two.
        Scale("Dice of the map (best level)", dice, 0.20, 0.784),
    )
    positions = [scale.closeness for scale in scales]
    reason = f"{', '.join(map(str, scales))}; from {survey.masks} mask{'s' if survey.masks > 1 else ''}"
    if min(positions) >= _NEAR:
        advice = "On Kvasir-SEG, such gaze trained to a test Dice of 0.78."
        return Verdict("eyelink", "like an EyeLink", reason, advice, scales)
    if np.median(positions) <= _FAR:
        headline = "like a webcam: training on this is known to fail"
        return Verdict("webcam", headline, reason, "Calibrate the tracker and record again.", scales)
    weakest = scales[int(np.argmin(positions))].name
    advice = f"Weakest: {weakest}. Training on such gaze is not proven: try it on a small scale first."
    return Verdict("between", "between a webcam and an EyeLink", reason, advice, scales)


def _without_masks(survey: Survey) -> Verdict:
    people = [survey.statistics.get(name, {}).get("observers", 1) for name in survey.rows]
    figures = [(row["fixations"], row["seconds"]) for row in survey.rows.values()]
    fixations, seconds = np.median(np.array(figures) / np.array(people)[:, None], axis=0).tolist()
    each = "an image and observer" if max(people) > 1 else "an image"
    suspicious = {
        f"{survey.off_image:.1%} of the fixations are outside the image": survey.off_image > _OFF_IMAGE,
        f"{len(survey.empty)} of {survey.images} images have no usable one": len(survey.empty) > _EMPTY * survey.images,
        f"{fixations:.0f} fixations {each}": fixations < _FIXATIONS,
        f"{seconds:.1f} s {each}": seconds < _SECONDS,
    }
    if signs := [sign for sign, applies in suspicious.items() if applies]:
        return Verdict("unknown", "suspicious gaze; masks would tell more", ", ".join(signs), _ASK)
    return Verdict("unknown", "nothing suspicious; masks would tell more", ", ".join(suspicious), _ASK)
