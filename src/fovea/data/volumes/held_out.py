"""Whole volumes for evaluation."""

from typing import Any

import torch

from fovea.data.cache import Arrays
from fovea.data.volumes.case_list import image_id
from fovea.data.volumes.prepared import Array, Prepared
from fovea.data.volumes.targets import Target


class WholeVolumes:
    """The samples of a split, one for each modality of each case: a `fovea.data.source.Samples`.

    An image is the volumes of all modalities of the case, by name, first the one to predict; its target is on the
    native grid of that one, turned to RAS. `arrays` reads the images: `prepared` itself, or a cache of it.
    """

    def __init__(self, prepared: Prepared, arrays: Arrays, target: Target) -> None:
        self.prepared, self.arrays, self.target = prepared, arrays, target
        self.modalities = prepared.dataset.modalities
        self.images = [(case, name) for case in prepared.ids for name in self.modalities]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case, modality = self.images[index]
        position = self.prepared.ids.index(case)
        names = [modality, *(name for name in self.modalities if name != modality)]
        image = {name: torch.from_numpy(self.arrays.read(Array("image", name), position))[None] for name in names}
        target = torch.from_numpy(self.target.labels(case, modality))
        return {"image": image, "index": index, "id": image_id(case, modality), "target": target}
