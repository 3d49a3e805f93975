"""All that pseudo-masks depend on beside the data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_LATTICE = ("compat", "sxy", "srgb", "iterations", "tolerance")

BACKENDS: Mapping[str, tuple[str, ...]] = {
    "lattice": _LATTICE,
    "torch": _LATTICE,
    "pydensecrf": ("compat", "sxy", "srgb", "iterations"),
    "guided": ("radius", "epsilon"),
    "grabcut": ("iterations", "background", "foreground"),
    "none": (),
}
"""Who refines, and which arguments of `refine` the result depends on."""


@dataclass(frozen=True)
class Crf:
    """Arguments of the refiners of `fovea.prepare.refiners`.

    Whether the backend can be used here is not looked at: training compares parameters, but refines nothing.

    Raises:
        ValueError: a value is not a number, or too small or too large to make sense.
    """

    backend: str = "lattice"
    compat: float = 1.0
    sxy: float = 80.0
    srgb: float = 13.0
    iterations: int = 10
    tolerance: float = 1e-3
    radius: int = 30
    epsilon: float = 1e-3
    background: float = 0.1
    foreground: float = 0.9

    def __post_init__(self) -> None:
        """Refuse values that make no sense before any time is spent on them."""
        _check("refine.compat", self.compat, zero=True)
        _check("refine.sxy", self.sxy)
        _check("refine.srgb", self.srgb)
        _check("refine.iterations", self.iterations, zero=True, whole=True)
        _check("refine.tolerance", self.tolerance, zero=True)
        _check("refine.radius", self.radius, whole=True)
        _check("refine.epsilon", self.epsilon)
        _check("refine.background", self.background, zero=True)
        _check("refine.foreground", self.foreground)
        if self.background >= 0.5 or self.foreground <= 0.5:
            raise ValueError(
                f"refine.background={self.background}, refine.foreground={self.foreground}: not possible; "
                "GrabCut starts with what is from .5 on, so set them below and above"
            )

    def used(self) -> dict[str, Any]:
        """The backend, and those parameters that its maps depend on."""
        return {key: getattr(self, key) for key in ("backend", *BACKENDS.get(self.backend, ()))}


@dataclass(frozen=True)
class Parameters:
    """Parameters of the prepare stage. The defaults are those of Zhong et al. 2024 for Kvasir-SEG.

    Attributes:
        sigma: of the heatmap, in pixels of the canvas.
        canvas: side of the canvas in pixels.
        min_duration: shortest fixation used, in milliseconds.
        crf: what draws the heatmap to the image's edges.
        dose: share of the gaze on each image that is used, by time, from the first fixation on.

    Raises:
        ValueError: a value is not a number, or too small to make sense.
    """

    sigma: float = 70.0
    canvas: int = 768
    min_duration: float = 50.0
    crf: Crf = field(default_factory=Crf)
    dose: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense before any time is spent on them."""
        _check("labels.sigma", self.sigma)
        _check("labels.canvas", self.canvas, whole=True)
        _check("labels.min_duration", self.min_duration, zero=True)
        _check("labels.dose", self.dose)
        if self.dose > 1:
            raise ValueError(f"labels.dose: {self.dose} is not possible; set a share of the gaze in (0, 1]")

    @classmethod
    def of(cls, labels: Mapping[str, Any], refine: Mapping[str, Any]) -> "Parameters":
        """Those in the configuration groups `labels` and `refine`."""
        values = {key: value for key, value in refine.items() if key not in ("_target_", "name", "folder")}
        crf = Crf(backend=refine["name"], **values)
        return cls(labels["sigma"], labels["canvas"], labels["min_duration"], crf, labels["dose"])

    def flat(self) -> dict[str, Any]:
        """The parameters by configuration key (`labels.sigma`, `refine.compat`, ...), as the manifest keeps them.

        Those that the backend does not read are left out: changing one of them changes no map.
        """
        used = self.crf.used()
        values = {"labels": "gaze"} | {f"labels.{key}": value for key, value in asdict(self).items() if key != "crf"}
        values |= {"refine": used.pop("backend")} | {f"refine.{key}": value for key, value in used.items()}
        exact = ("labels", "labels.canvas", "refine", "refine.iterations", "refine.radius")
        # 70 and 70.0 are one parameter, and give one manifest
        return {key: value if key in exact else float(value) for key, value in sorted(values.items())}


def _check(key: str, value: object, zero: bool = False, whole: bool = False) -> None:
    kind = "a whole number" if whole else "a number"
    bound = "of at least 0" if zero else "above 0"
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):  # type: ignore[arg-type, operator]
        raise ValueError(f"{key}: {value!r} is not possible; set {kind} {bound}")
