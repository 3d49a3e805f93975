"""What the quality of gaze means for training: a plain verdict against published figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fovea.prepare.quality import INSIDE, Rows, column, dice_key

_NEAR, _FAR = 0.75, 0.25  # on the way from a webcam (0) to an EyeLink (1)
_OFF_IMAGE, _EMPTY = 0.05, 0.02  # shares above which a recording is conspicuous; the published EyeLink's are near 0
_FIXATIONS, _SECONDS = 5, 2.0  # medians below which an image was hardly looked at
_ASK = "Gaze that missed its targets looks the same as gaze that met them: draw about 50 masks, set quality=masks."


@dataclass(frozen=True)
class Scale:
    """One figure between two published ones (Zhong et al. 2024, Kvasir-SEG).

    Attributes:
        name: what is measured.
        value: here.
        webcam: with a webcam tracker, on which training failed.
        eyelink: with an EyeLink 1000, on which it worked.
        digits: worth printing.
    """

    name: str
    value: float
    webcam: float
    eyelink: float
    digits: int = 2

    @property
    def closeness(self) -> float:
        """Where the value lies on the way from the webcam (0) to the EyeLink (1); beyond them it is cut off."""
        return float(np.clip((self.value - self.webcam) / (self.eyelink - self.webcam), 0.0, 1.0))

    def __str__(self) -> str:
        """The figure with the published ones behind it."""
        value, eyelink, webcam = map(self.text, (self.value, self.eyelink, self.webcam))
        return f"{self.name} {value} (EyeLink {eyelink}, webcam {webcam})"

    def text(self, figure: float) -> str:
        """A figure of this scale as it is printed."""
        return f"{figure:.{self.digits}f}"


@dataclass(frozen=True)
class Verdict:
    """`kind` is `eyelink`, `webcam`, `between` or `unknown`; the rest says it in words, and by figures with masks."""

    kind: str
    headline: str
    reason: str
    advice: str
    scales: Sequence[Scale] = ()

    def __str__(self) -> str:
        """One line."""
        return f"{self.headline}: {self.reason}. {self.advice}"


@dataclass(frozen=True)
class Survey:
    """The quality of a whole set.

    Attributes:
        rows: of `fovea.prepare.quality.measure`, one image at least.
        thresholds: of the levels.
        empty: ids without a usable fixation.
        counts: of the fixation table, see `FixationTable.summary`.
        failures: a line for each image that could not be done.
    """

    rows: Rows
    thresholds: Sequence[float]
    empty: Sequence[str]
    counts: Mapping[str, int]
    failures: Mapping[str, str]

    @property
    def images(self) -> int:
        """Images of the data set."""
        return len(self.rows) + len(self.empty) + len(self.failures)

    @property
    def masks(self) -> int:
        """Images that were held against their mask."""
        return len(column(self.rows, INSIDE))

    @property
    def off_image(self) -> float:
        """Share of the fixations on known images that lie beside them."""
        known = self.counts["rows"] - self.counts["unknown_image"] - self.counts["unsafe_name"]
        return self.counts["outside_image"] / max(known, 1)

    def verdict(self) -> Verdict:
        """The verdict: from the masks, or what can be said without one."""
        return _with_masks(self) if self.masks else _without_masks(self)


def _with_masks(survey: Survey) -> Verdict:
    rows = survey.rows
    dice = max(float(column(rows, dice_key("map", t)).mean()) for t in survey.thresholds)
    scales = (
        Scale("fixations inside (median)", float(np.median(column(rows, INSIDE))), 0.17, 0.90),
        Scale("centre offset (mean)", float(column(rows, "offset").mean()), 0.267, 0.041, digits=3),
        # the webcam's maps are not published: this is the simulated webcam's, which meets its other two figures
        Scale("Dice of the map (best level)", dice, 0.20, 0.784),
    )
    places = [scale.closeness for scale in scales]
    reason = f"{', '.join(map(str, scales))}; from {survey.masks} mask{'s' if survey.masks > 1 else ''}"
    if min(places) >= _NEAR:
        return Verdict("eyelink", "like an EyeLink", reason, "Such gaze trained to a test Dice of 0.78.", scales)
    if np.median(places) <= _FAR:
        headline = "like a webcam: training on this is known to fail"
        return Verdict("webcam", headline, reason, "Calibrate the tracker and record anew.", scales)
    weakest = scales[int(np.argmin(places))].name
    advice = f"Weakest: {weakest}. Nobody has shown that such gaze trains: try it on a small scale first."
    return Verdict("between", "between a webcam and an EyeLink", reason, advice, scales)


def _without_masks(survey: Survey) -> Verdict:
    fixations, seconds = (float(np.median(column(survey.rows, key))) for key in ("fixations", "seconds"))
    found = {
        f"{survey.off_image:.1%} of the fixations are beside the image": survey.off_image > _OFF_IMAGE,
        f"{len(survey.empty)} of {survey.images} images have no usable one": len(survey.empty) > _EMPTY * survey.images,
        f"{fixations:.0f} fixations an image": fixations < _FIXATIONS,
        f"{seconds:.1f} s an image": seconds < _SECONDS,
    }
    signs = [sign for sign, conspicuous in found.items() if conspicuous]
    if signs:
        return Verdict("unknown", "conspicuous gaze, more cannot be told without masks", ", ".join(signs), _ASK)
    return Verdict("unknown", "nothing conspicuous, more cannot be told without masks", ", ".join(found), _ASK)
