"""The seam between a kind of data and everything else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from fovea.data.protocols import Plan, Samples

if TYPE_CHECKING:  # `--help` and the checks before a training do without them
    import torch
    from torch import nn

    from fovea.engine.datamodule import DataModule

Read = Callable[[Any, Sequence[int]], Mapping[str, "torch.Tensor"]]
"""An image and a size to probabilities [B, K, *size] by name: a mode, or what reads whole volumes with one."""


class HeldOut(Samples, Protocol):
    """The images of a split, and all that an evaluation asks about them."""

    ids: list[str]
    classes: list[str]  # names, but of the background; empty: one foreground class
    unit: str  # of `spacing`: mm or px

    def patient(self, image_id: str) -> str:
        """Whom an image is of."""

    def spacing(self, image_id: str) -> Sequence[float]:
        """Sides of a pixel or voxel."""

    def groups(self) -> dict[str, list[str]]:
        """Ids of images that are also scored among themselves, by name; say those of a modality."""

    def tiles(self, sample: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A row of the contact sheet, pictures uint8 [H, W, 3] by title, from label maps by output."""


class Kind(Protocol):
    """A kind of data as a configuration describes it: its constructor takes the keys of `configs/data/`.

    Raises:
        ValueError: a key makes no sense.
    """

    of_model: ClassVar[tuple[str, ...]]
    """Keys that belong to a network: one that is evaluated brings its own."""
    name: str
    classes: int

    def plan(self, needs: Collection[str]) -> Plan:
        """Check everything that a training reads, without torch.

        Args:
            needs: Targets that the supervision trains on.

        Raises:
            ValueError: the data cannot serve it.
        """

    def split_plan(self, split: str) -> Plan:
        """The same for an evaluation of one split, which checks nothing else."""

    def describe(self, plan: Any) -> str:
        """One line on what is trained on, and what val is scored against."""

    def module(self, plan: Any) -> "DataModule":
        """The loaders."""

    def held_out(self, plan: Any, split: str) -> HeldOut:
        """The images of a split. Errors as of `split_plan`."""

    def whole(self, module: "nn.Module") -> Read:
        """What reads whole images with a supervision module that was trained on parts of them, or resized."""

    @classmethod
    def predict(
        cls, trained: Mapping[str, Any], module: "nn.Module", source: Path, out: Path, device: "torch.device"
    ) -> tuple[int, dict[str, str]]:
        """Predict unseen images; of those that cannot be read, the reasons are returned, the others are done.

        Args:
            trained: The group `data` that the module was trained with.
            module: A supervision module in evaluation mode on `device`.
            source: Folder, or list, of images.
            out: Folder, made if need be.
            device: Where the module is.

        Returns:
            The number of images, and the reason by name for each that failed.

        Raises:
            ValueError: `source` has no images, or `out` cannot be written.
        """
