"""Where an image was on the screen."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fovea.importers.recordings.trial import Rectangle
from fovea.runtime.bounds import Positive

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


@dataclass(frozen=True)
class Screen:
    """A screen: pixels, size of the picture area and distance from the eye; None for what is not needed."""

    width: Positive | None = None
    height: Positive | None = None
    width_cm: Positive | None = None
    height_cm: Positive | None = None
    distance_cm: Positive | None = None

    def pixels(self) -> tuple[float, float]:
        """Return width and height in pixels; refuse missing ones."""
        if self.width is None or self.height is None:
            raise ValueError("screen.width and screen.height are not set: add the size of the screen in pixels")
        return self.width, self.height

    def centimeters(self) -> tuple[float, float, float]:
        """Return width, height and distance in centimeters; refuse missing ones."""
        if self.width_cm is None or self.height_cm is None or self.distance_cm is None:
            fix = "thresholds in degrees need them; add them or set detection.unit=px"
            raise ValueError(f"screen.width_cm, screen.height_cm and screen.distance_cm are not set: {fix}")
        return self.width_cm, self.height_cm, self.distance_cm


@dataclass(frozen=True)
class Place:
    """Where images were on the screen: one rectangle in pixels of the screen, or a rule.

    `fit=contain`: centered, as large as the screen permits at the image's aspect ratio; `fit=native`: centered, one
    pixel of the image per pixel of the screen.
    """

    left: Finite | None = None
    top: Finite | None = None
    width: Positive | None = None
    height: Positive | None = None
    fit: Literal["contain", "native"] | None = None

    def __post_init__(self) -> None:
        """Refuse half a rectangle, and a rectangle with a rule."""
        missing = [value is None for value in (self.left, self.top, self.width, self.height)]
        if not all(missing) and (any(missing) or self.fit is not None):
            raise ValueError("set all of image.left, .top, .width and .height, or only fit")

    def fixed(self) -> Rectangle | None:
        """Return the rectangle, None without one."""
        if self.left is None or self.top is None or self.width is None or self.height is None:
            return None
        return self.left, self.top, self.width, self.height

    def fitted(self, screen: Screen, size: tuple[int, int] | None) -> Rectangle:
        """Return the rectangle of an image of `size` (height, width) by the rule; refuse what it lacks."""
        if self.fit is None:
            fix = "add image.left, image.top, image.width and image.height in pixels of the screen"
            raise ValueError(f"the place of the image is not set: {fix}, or fit=contain with data.root")
        if size is None:
            raise ValueError(f"fit={self.fit} needs the size of each image: add data.root, or image.left, …")
        width, height = screen.pixels()
        scale = 1.0 if self.fit == "native" else min(width / size[1], height / size[0])
        return (width - size[1] * scale) / 2, (height - size[0] * scale) / 2, size[1] * scale, size[0] * scale
