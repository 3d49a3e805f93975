"""The interface of a kind of label; each kind is one file here and one YAML in `configs/labels/`."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from fovea.data.table import Annotations


class Annotation(Protocol):
    """The annotation of one image; its length is 0 if nobody labeled the image."""

    def __len__(self) -> int: ...

    def statistics(self) -> dict[str, float]:
        """Return the statistics that the manifest records for the image."""

    def tobytes(self) -> bytes:
        """Return everything that the map depends on."""


class Label(Protocol):
    """Reads the annotations of a data set from `path` and draws the map of an image."""

    path: str

    def read(self, ids: Iterable[str]) -> Annotations:
        """Read the annotations of images with these IDs; ValueError if they are missing or damaged."""

    def draw(self, annotation: Any, size: tuple[int, int]) -> np.ndarray:
        """Return the map of an image, float32 [H, W] in [0, 1], 0.5 where the annotation says nothing."""
