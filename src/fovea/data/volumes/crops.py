"""Training samples of volumes: several crops of a case, at the same position in all modalities."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.data import set_track_meta
from monai.transforms import Compose, Lambdad, RandCropByPosNegLabeld, RandSpatialCropSamplesd, SelectItemsd

from fovea.data.cache import Arrays
from fovea.data.volumes.prepared import Array, Prepared, centered, common_shape
from fovea.losses import IGNORE

Factory = Callable[[Sequence[Array]], Any]  # makes a dictionary transform of MONAI for some arrays
FOREGROUND = "foreground"
set_track_meta(False)  # no one reads MONAI's record of each transform, and it takes 40 % of the time of a sample


class Crops:
    """Augmented crops of prepared cases: the samples of one stream.

    The modalities of a case are padded about their centers to one shape, and a crop is at the same position in all of
    them. With targets, on average every other crop is centered on a voxel that is foreground in some modality. Without
    targets, crops are anywhere. All draws are a pure function of (seed, pass, index).

    `arrays` reads the arrays of the cases: `prepared` itself, or a cache of it. `crops` of `size` voxels are cut from
    each case. `spatial` makes the transforms that are drawn once for all modalities and targets of a crop, `intensity`
    those of the images alone, drawn for each modality.
    """

    def __init__(
        self,
        prepared: Prepared,
        arrays: Arrays,
        size: Sequence[int],
        crops: int,
        spatial: Sequence[Factory],
        intensity: Sequence[Factory],
        seed: int,
    ) -> None:
        self.prepared, self.arrays, self.size, self.crops, self.seed = prepared, arrays, tuple(size), crops, seed
        keys = [*prepared.kinds]
        moves = [make(keys) for make in spatial]
        if partial_masks := [key for key in keys if key.fill]:
            # Transforms fill with 0. Masks are shifted for them, so that 0 means: nobody labeled it.
            to, back = (Lambdad(partial_masks, partial(torch.add, other=sign * IGNORE)) for sign in (-1, 1))
            moves = [to, *moves, back]
        shades = [make([key]) for make in intensity for key in keys if key.what == "image"]
        self.transform = Compose(self.steps(moves, shades))

    def steps(self, moves: Sequence[Any], shades: Sequence[Any]) -> list[Any]:
        """Return all transforms of a case, with those in space and those of intensities."""
        keys = [*self.prepared.kinds]
        crop: Any = RandSpatialCropSamplesd(keys, self.size, self.crops, random_size=False)
        if self.prepared.targets:
            crop = RandCropByPosNegLabeld(keys, FOREGROUND, self.size, pos=1, neg=1, num_samples=self.crops)
        return [crop, SelectItemsd(keys), *moves, *shades]

    def __len__(self) -> int:
        return len(self.prepared.ids)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return the crops of (pass, index): `image` and targets by modality, [crops, 1, *size]; `index`, `id`."""
        turn, index = key
        volumes = {name: torch.from_numpy(self.arrays.read(name, index))[None] for name in self.prepared.kinds}
        crops = self.augmented(volumes, np.random.SeedSequence([self.seed, turn, index]))
        sample: dict[str, Any] = {"index": index, "id": self.prepared.ids[index]}
        for name in self.prepared.kinds:
            if changed := {tuple(crop[name].shape[1:]) for crop in crops} - {self.size}:
                fix = "give data.size equal sides, or leave the turns out: '~data.augment.spatial.turn'"
                raise ValueError(f"data.augment: a crop of {self.size} became one of {changed.pop()}; {fix}")
            sample.setdefault(name.what, {})[name.modality] = np.stack([np.asarray(crop[name]) for crop in crops])
        return sample

    def augmented(self, volumes: Mapping[Array, torch.Tensor], seed: np.random.SeedSequence) -> list[dict[Any, Any]]:
        """Return augmented crops [1, *size] of the arrays [1, D, H, W] of a case."""
        shape = common_shape([tuple(volume.shape[1:]) for volume in volumes.values()], self.size)
        case: dict[Any, Any] = {name: centered(volume, shape, name.fill) for name, volume in volumes.items()}
        if targets := self.prepared.targets:
            inside = [targets[name.what].foreground(case[name]) for name in self.prepared.kinds if name.what in targets]
            case[FOREGROUND] = torch.stack(inside).any(dim=0)
        self.transform.set_random_state(int(seed.generate_state(1)[0]))
        return self.transform(case)

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a `fovea.supervision.batch.Batch` of B * crops images, by modality."""

        def joined(what: str) -> dict[str, torch.Tensor]:
            return {name: crops.flatten(0, 1) for name, crops in batch[what].items()}

        targets = {name: target.collate(joined(name)) for name, target in self.prepared.targets.items()}
        return {"index": batch["index"], "id": batch["id"], "image": joined("image"), **targets}
