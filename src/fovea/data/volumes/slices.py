"""Training samples of volumes as slices: two-dimensional, for networks of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import SqueezeDimd

from fovea.data.volumes.crops import Crops
from fovea.data.volumes.prepared import Array, centered, common_shape
from fovea.losses import IGNORE


class Slices(Crops):
    """Augmented slices of prepared cases [H, W, slices]: the samples of one stream.

    The slices of a sample are at nearly the same depth of all modalities, relative to the number of their slices. On
    average every other slice of a labeled case has foreground in some modality, and a crop of it is centered there;
    the others are anywhere among the slices with labels. Slices are padded as crops are. The arguments, and
    how draws are seeded, are those of `Crops`; `crops` is the number of slices from each case.
    """

    def steps(self, moves: Sequence[Any], shades: Sequence[Any]) -> list[Any]:
        # The transforms in space get a slice as a volume of one voxel across, so that they serve crops too.
        return [*moves, SqueezeDimd([*self.prepared.kinds], dim=-1), *shades]

    def augmented(self, volumes: Mapping[Array, torch.Tensor], seed: np.random.SeedSequence) -> list[dict[Any, Any]]:
        """Return augmented slices [1, *size] of the arrays [1, H, W, slices] of a case."""
        self.transform.set_random_state(int(seed.generate_state(1)[0]))
        rng = np.random.default_rng(seed)
        labeled, foreground = self._with_labels(volumes)
        drawn = []
        for _ in range(self.crops):
            filled = bool(foreground) and rng.random() < 0.5
            places = self._places(volumes, foreground if filled else labeled, rng)
            chosen = {name: volume[..., [places[name.modality]]] for name, volume in volumes.items()}
            drawn.append(self.transform(self._cropped(chosen, filled, rng)))
        return drawn

    def _with_labels(
        self, volumes: Mapping[Array, torch.Tensor]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the slices of each modality with a label, and of those with foreground, as far as there are any."""
        labeled: dict[str, np.ndarray] = {}
        foreground: dict[str, np.ndarray] = {}
        for name, volume in volumes.items():
            if target := self.prepared.targets.get(name.what):
                for found, inside in ((labeled, volume != IGNORE), (foreground, target.foreground(volume))):
                    if len(places := np.flatnonzero(inside.any(dim=2).any(dim=1)[0].numpy())):
                        found[name.modality] = places
        return labeled, foreground

    def _places(
        self, volumes: Mapping[Array, torch.Tensor], choice: Mapping[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, int]:
        """Draw a slice of a modality from a choice, or from all; return that of each modality nearest to its depth."""
        counts = {name.modality: volume.shape[-1] for name, volume in volumes.items()}
        choices = {name: choice.get(name, np.arange(count)) for name, count in counts.items()}
        first = str(rng.choice([*(choice or counts)]))
        depth = (int(rng.choice(choices[first])) + 0.5) / counts[first]
        return {
            name: int(places[np.abs((places + 0.5) / counts[name] - depth).argmin()])
            for name, places in choices.items()
        }

    def _cropped(
        self, slices: Mapping[Array, torch.Tensor], filled: bool, rng: np.random.Generator
    ) -> dict[Array, torch.Tensor]:
        """Return slices [1, H, W, 1] padded to one shape and cropped at one position, on foreground if `filled`."""
        shape = common_shape([tuple(volume.shape[1:]) for volume in slices.values()], (*self.size, 1))
        padded = {name: centered(volume, shape, name.fill) for name, volume in slices.items()}
        room = np.subtract(shape[:2], self.size)
        start = rng.integers(room + 1)
        targets = self.prepared.targets
        inside = [targets[n.what].foreground(volume) for n, volume in padded.items() if filled and n.what in targets]
        if inside and len(found := torch.stack(inside).any(dim=0)[0, ..., 0].nonzero()):
            start = np.clip(found[rng.integers(len(found))].numpy() - np.array(self.size) // 2, 0, room)
        (top, left), (height, width) = start, self.size
        return {name: volume[:, top : top + height, left : left + width] for name, volume in padded.items()}
