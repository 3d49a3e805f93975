"""From the screen to the image: where an image stood, and what a point on the screen is in its fractions."""

import math
from dataclasses import dataclass, fields

import numpy as np

FITS = ("contain", "native")
"""`contain`: centred, as large as the screen takes at the image's own ratio; `native`: centred, a pixel a pixel."""


@dataclass(frozen=True)
class Screen:
    """A screen; each value may be None where nothing asks for it.

    Attributes:
        width: in pixels.
        height: in pixels.
        width_cm: of the picture area, in centimetres.
        height_cm: of the picture area, in centimetres.
        distance_cm: from the eye, in centimetres.

    Raises:
        ValueError: a value is not a number above 0.
    """

    width: float | None = None
    height: float | None = None
    width_cm: float | None = None
    height_cm: float | None = None
    distance_cm: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for each in fields(self):
            _check(f"screen.{each.name}", getattr(self, each.name), positive=True)

    def pixels(self) -> tuple[float, float]:
        """Width and height in pixels.

        Raises:
            ValueError: they are not given.
        """
        if self.width is None or self.height is None:
            raise ValueError("screen.width and screen.height are not given: add the size of the screen in pixels")
        return self.width, self.height

    def centimetres(self) -> tuple[float, float, float]:
        """Width, height and distance in centimetres.

        Raises:
            ValueError: they are not given.
        """
        if self.width_cm is None or self.height_cm is None or self.distance_cm is None:
            raise ValueError(
                "screen.width_cm, screen.height_cm and screen.distance_cm are not given: "
                "thresholds in degrees need them; add them or set detection.unit=px"
            )
        return self.width_cm, self.height_cm, self.distance_cm


@dataclass(frozen=True)
class Place:
    """Where an image stood on the screen, in pixels of the screen: a rectangle, or a rule that `fit` names.

    Attributes:
        left: of the rectangle, from the left edge of the screen.
        top: of the rectangle, from the top edge of the screen.
        width: of the rectangle.
        height: of the rectangle.
        fit: one of `FITS` instead of the rectangle.

    Raises:
        ValueError: the rectangle is not complete, given beside a rule, or makes no sense.
    """

    left: float | None = None
    top: float | None = None
    width: float | None = None
    height: float | None = None
    fit: str | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("left", "top", "width", "height"):
            _check(f"image.{name}", getattr(self, name), positive=name in ("width", "height"))
        given = [value is not None for value in (self.left, self.top, self.width, self.height)]
        if self.fit is not None and self.fit not in FITS:
            raise ValueError(f"fit: {self.fit!r} is not offered; choose {' or '.join(FITS)}, or give image.left, …")
        if any(given) and (self.fit is not None or not all(given)):
            raise ValueError("image: give all of image.left, .top, .width and .height, or fit and none of them")

    def rectangle(self, screen: Screen, size: tuple[int, int] | None) -> tuple[float, float, float, float]:
        """Left, top, width and height in pixels of the screen.

        Args:
            screen: where it stood; asked for its pixels where a rule needs them.
            size: the image's own height and width in pixels; None where it is not known.

        Raises:
            ValueError: something that is needed was not given.
        """
        if self.left is not None and self.top is not None and self.width is not None and self.height is not None:
            return self.left, self.top, self.width, self.height
        if self.fit is None:
            raise ValueError(
                "the place of the image is not given: add image.left, image.top, image.width and image.height "
                "in pixels of the screen, or fit=contain with data.root"
            )
        if size is None:
            raise ValueError(f"fit={self.fit} needs the size of each image: add data.root, or image.left, …")
        screen_width, screen_height = screen.pixels()
        height, width = size
        scale = 1.0 if self.fit == "native" else min(screen_width / width, screen_height / height)
        width_px, height_px = width * scale, height * scale
        return (screen_width - width_px) / 2, (screen_height - height_px) / 2, width_px, height_px


def to_fractions(
    x: np.ndarray, y: np.ndarray, rectangle: tuple[float, float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Points in pixels of the screen, [N] each, as fractions of an image's width and height; outside [0, 1] off it."""
    left, top, width, height = rectangle
    return (x - left) / width, (y - top) / height


def _check(key: str, value: object, positive: bool) -> None:
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (positive and value <= 0):  # type: ignore[operator]
        raise ValueError(f"{key}: {value!r} is not possible; give a number{' above 0' if positive else ''}")
