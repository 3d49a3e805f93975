"""What the masks of images and of volumes share as targets: `images/targets.py` and `volumes/targets.py`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.predicted import Predicted
from fovea.data.store import read_map
from fovea.losses import IGNORE


class LabelTarget:
    """Class indices, -1 where nobody labeled.

    With `predicted`, what nobody labeled has the labels that a network predicted; what has no mask is `unlabeled`. A
    mask is named by the ID of its image, or by a case and a modality.
    """

    name = "mask"
    """Its key in a batch, and in the `needs` of a supervision mode."""
    title = "truth"
    """Of its column in a contact sheet."""
    read_map: Callable[[Path], np.ndarray] = staticmethod(read_map)

    def __init__(
        self, dataset: Any, slices: int | None = None, predicted: Predicted | None = None, unlabeled: Sequence[str] = ()
    ) -> None:
        self.dataset, self.slices, self.predicted, self.unlabeled = dataset, slices, predicted, dict.fromkeys(unlabeled)
        self.sparse = slices is not None or dataset.ignore_label is not None
        self.partial = self.sparse or predicted is not None
        self.fill = IGNORE if self.partial else 0  # of what a transform moves in from outside
        self.marked: list[int] = []  # with `slices`, the number of labeled slices of each mask that was checked

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an array, but the files and the data set; a cache depends on it."""
        return {"slices": self.slices, "confidence": self.predicted.confidence if self.predicted else None}

    def files(self, *name: str) -> list[Path]:
        """Return the files that a target is read from, and its image, with whose size or grid it is compared."""
        image, unlabeled = self.dataset.image_path(*name), name[0] in self.unlabeled
        predicted = self.predicted if self.sparse or unlabeled else None
        masks = [] if unlabeled else [self.dataset.mask_path(*name)]
        return [image, *masks, *(predicted.files(image) if predicted else [])]

    def read(self, *name: str) -> np.ndarray:
        """Return a target at native size: uint8, or int16 where something may be unlabeled."""
        if name[0] in self.unlabeled:
            return self._taught(*name)
        labels = self._given(*name)
        if self.predicted is None:
            return labels
        missing = labels == IGNORE
        return np.where(missing, self._taught(*name), labels) if missing.any() else labels.astype(np.int16)

    def labels(self, *name: str) -> np.ndarray:
        """Return class indices, int64, to score against."""
        return self.read(*name).astype(np.int64)

    def compared(self, labeled: Sequence[str]) -> list[str]:
        """Return the images or cases whose predictions are read; a ValueError if `predicted` is not needed."""
        if self.predicted is None:
            return []
        if not self.unlabeled and not self.sparse:
            raise ValueError("data.predicted: nothing lacks labels; leave it out, or set data.labeled_fraction")
        self.dataset.check(self.unlabeled)
        return [*(labeled if self.sparse else ()), *self.unlabeled]

    def _given(self, *name: str) -> np.ndarray:
        labels: np.ndarray = self.dataset.mask(*name)
        return labels

    def _taught(self, *name: str) -> np.ndarray:
        assert self.predicted is not None
        return self.predicted.labels(self.dataset.image_path(*name), self.read_map)
