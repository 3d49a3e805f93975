"""Training samples of volumes: several crops of a case, at one place in all its modalities."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, RandCropByPosNegLabeld, Randomizable, RandSpatialCropSamplesd, SelectItemsd
from torch import Tensor

from fovea.data.images.samples import Arrays
from fovea.data.volumes.prepared import Prepared, centred, common_shape

Factory = Callable[[Sequence[str]], Any]  # of a dictionary transform of MONAI for some kinds of arrays
FOREGROUND = "foreground"


class Crops:
    """Crops of prepared cases, augmented: the samples of one stream (`fovea.data.source.TrainingSamples`).

    The modalities of a case are padded about their centres to one shape, and a crop is taken at the same place of all,
    so that what is roughly aligned stays so. With masks, every other crop on average is centred on a voxel that some
    modality's mask says is foreground; without, crops are taken anywhere, and no mask is opened. All that is drawn is a
    pure function of seed, pass and place of the case, whatever the number of workers.

    Args:
        prepared: The cases.
        arrays: Where their arrays come from: `prepared` itself, or a cache of it.
        size: Of a crop, in voxels.
        crops: Number from each case.
        spatial: Makes transforms that are drawn alike for all modalities and masks of a crop.
        intensity: Makes transforms of the volumes alone, drawn anew for each modality.
        seed: Of all that is drawn.
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
        self.prepared, self.arrays, self.size, self.seed = prepared, arrays, tuple(size), seed
        self.modalities = prepared.dataset.modalities
        images = [f"image {name}" for name in self.modalities]
        kinds = [*prepared.kinds]
        crop: Randomizable
        if prepared.masks:
            crop = RandCropByPosNegLabeld(kinds, FOREGROUND, self.size, pos=1, neg=1, num_samples=crops)
        else:
            crop = RandSpatialCropSamplesd(kinds, self.size, crops, random_size=False)
        moves = [make(kinds) for make in spatial]
        shades = [make([image]) for make in intensity for image in images]
        self.transform = Compose([crop, SelectItemsd(kinds), *moves, *shades])

    def __len__(self) -> int:
        return len(self.prepared.ids)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """The crops of (pass, index): `image <modality>` float32 [crops, 1, *size], `mask <modality>` uint8, `id`.

        Raises:
            ValueError: a file cannot be read, or a transform changes the shape of a crop.
        """
        turn, index = key
        given = {kind: torch.from_numpy(self.arrays.read(kind, index))[None] for kind in self.prepared.kinds}
        shape = common_shape([tuple(each.shape[1:]) for each in given.values()], self.size)
        padded = {kind: centred(each, shape) for kind, each in given.items()}
        if self.prepared.masks:
            masks = [padded[kind] > 0 for kind in self.prepared.kinds if kind.startswith("mask")]
            padded[FOREGROUND] = torch.stack(masks).any(dim=0)
        self.transform.set_random_state(int(np.random.SeedSequence([self.seed, turn, index]).generate_state(1)[0]))
        crops = self.transform(padded)
        for crop in crops:
            if (found := crop[self.prepared.kinds[0]].shape[1:]) != self.size:
                raise ValueError(
                    f"data.augment: a crop of {self.size} became one of {tuple(found)}; give data.size equal sides "
                    "where crops are turned, or leave the turns out: '~data.augment.spatial.turn'"
                )
        stacked = {kind: np.stack([np.asarray(crop[kind]) for crop in crops]) for kind in self.prepared.kinds}
        return stacked | {"index": index, "id": self.prepared.ids[index]}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch by modality: `image` [B * crops, 1, *size] and, with masks, `mask` [B * crops, *size], int64."""
        image = {name: _joined(batch[f"image {name}"]) for name in self.modalities}
        if not self.prepared.masks:
            return {"image": image, "id": batch["id"]}
        mask = {name: _joined(batch[f"mask {name}"])[:, 0].long() for name in self.modalities}
        return {"image": image, "mask": mask, "id": batch["id"]}


def _joined(crops: Tensor) -> Tensor:
    """Crops [B, crops, ...] as [B * crops, ...]."""
    return crops.flatten(0, 1)
