"""The interface of a type of data, e.g. images or volumes."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

if TYPE_CHECKING:  # `--help` and the checks before a training run without torch
    import torch
    from torch import Tensor, nn

    from fovea.data.predict_request import PredictRequest

AGAINST = {"mask": "masks", "pseudo": "pseudo-masks"}
"""What images are scored against, by `select_on`."""

UNLABELED = "unlabeled"
"""In `needs`: images without annotation. They are a stream, whose batches have no target."""

Predictor = Callable[[Any, Sequence[int]], Mapping[str, "Tensor"]]
"""Maps an image and a size to probabilities [B, K, *size] by name: a mode, or a sliding window around one."""


class Samples(Protocol):
    """Images for evaluation, one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """Return `image`, `index`, `id` and `target`: class indices [H, W] or [D, H, W], int64, at native size."""


class TrainingSamples(Protocol):
    """Images for training, augmented."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int], /) -> dict[str, Any]:
        """Return the sample of (pass, index) as arrays, which are cheap to send from a worker."""

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Turn stacked samples, on the device of the network, into a `fovea.supervision.batch.Batch`."""


@dataclass(frozen=True)
class Split:
    """The images of one split, and what an evaluation needs to know about them."""

    name: str  # train, val or test
    ids: list[str]
    open: Callable[[], Samples]  # imports torch
    select_on: str  # what the images are scored against: mask or pseudo
    patient: Callable[[str], str]  # the patient ID of an image
    spacing: Callable[[str], Sequence[float]]  # the sides of a pixel or voxel of an image
    unit: str  # of the spacing: mm or px
    panels: Callable[[Mapping[str, Any], Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    """One row of the contact sheet: maps a sample and label maps by output to pictures uint8 [H, W, 3] by title."""
    classes: Sequence[str] = ()  # names without the background; empty: one foreground class
    groups: Mapping[str, list[str]] = field(default_factory=dict)  # ids that are also scored apart, e.g. by modality

    @cached_property
    def samples(self) -> Samples:
        """The images with their targets, in the order of `ids`."""
        return self.open()


@dataclass(frozen=True)
class Training:
    """The outcome of all checks before a training."""

    ids: list[str]  # all images that are trained on, with targets or without
    digest: str  # a short name for `ids`
    description: str  # one line for the log
    val: Split
    labels: Mapping[str, int]  # the number of images with labels, by kind: masks, gaze, …; what their annotation cost
    streams: Callable[[], Mapping[str, TrainingSamples]]  # imports torch
    unit: str = "images"  # what a batch of a stream has


class Source(Protocol):
    """A type of data; its constructor takes the keys of `configs/data/`."""

    model_keys: ClassVar[tuple[str, ...]]
    """Keys that belong to the network: an evaluation takes them from the checkpoint."""
    name: str
    classes: int
    batch_size: int
    num_workers: int
    drop_last: bool
    seed: int

    def train(self, needs: Collection[str]) -> Training:
        """Check, without torch, everything that a training reads.

        `needs` names the targets that the supervision mode trains on. A ValueError if the data do not have them, or a
        file is missing or invalid.
        """

    def split(self, name: str) -> Split:
        """Check, without torch, all that an evaluation of a split reads; a ValueError if the split is empty."""

    def predictor(self, module: "nn.Module") -> Predictor:
        """Return a callable that predicts full-size images, e.g. by sliding window."""

    @classmethod
    def predict(
        cls, data: Mapping[str, Any], module: "nn.Module", device: "torch.device", request: "PredictRequest"
    ) -> tuple[int, dict[str, str]]:
        """Predict all images of a folder with a module that was trained with the group `data`.

        Return the number of images, and the reason by name for each that cannot be read. A ValueError if there are
        none, or the output folder cannot be written.
        """


def digest(ids: Sequence[str]) -> str:
    """Return a short name for a list of ids."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
