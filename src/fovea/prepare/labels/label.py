"""The interface of a kind of label; each kind is one file here and one YAML in `configs/labels/`."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np


class Annotation(Protocol):
    """The annotation of one image; its length is 0 if nobody labeled the image."""

    def __len__(self) -> int: ...

    def statistics(self) -> dict[str, float]:
        """Return the figures that the manifest records for the image."""

    def tobytes(self) -> bytes:
        """Return everything that the map depends on."""


class Annotations(Protocol):
    """The annotations of a data set; `str` gives a summary of one line."""

    def of(self, image_id: str) -> Annotation:
        """Return the annotation of an image, which may be empty."""

    def summary(self) -> Mapping[str, int]:
        """Return how much was read and how much was dropped, by reason."""


class Label(Protocol):
    """Reads the annotations of a data set from `path` and draws the map of an image."""

    @property
    def path(self) -> str: ...

    def read(self, ids: Iterable[str]) -> Annotations:
        """Read the annotations of images with these IDs; ValueError if they are missing or damaged."""

    def draw(self, annotation: Any, size: tuple[int, int]) -> np.ndarray:
        """Return the map of an image, float32 [H, W] in [0, 1], 0.5 where the annotation tells nothing."""
