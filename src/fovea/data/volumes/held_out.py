"""The volumes of a split, as an evaluation asks for them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fovea.data.images.samples import Arrays
from fovea.data.volumes.prepared import Prepared
from fovea.pictures.volumes import volume_panels


class VolumeSplit:
    """Each modality of each case as an image of its own, `<case>_<modality>`: a `fovea.data.source.HeldOut`.

    An image is the volumes of all modalities of the case, by name, the one that is to be predicted first; its target is
    on the native grid of that, turned to RAS.

    Args:
        prepared: The cases, without masks.
        arrays: Where their arrays come from: `prepared` itself, or a cache of it.
    """

    unit = "mm"

    def __init__(self, prepared: Prepared, arrays: Arrays) -> None:
        self.prepared, self.arrays, self.dataset = prepared, arrays, prepared.dataset
        pairs = [(case, name) for case in prepared.ids for name in self.dataset.modalities]
        self.of = {f"{case}_{name}": (case, name) for case, name in pairs}
        self.ids = list(self.of)
        self.classes = self.dataset.names

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case, modality = self.of[self.ids[index]]
        place = self.prepared.ids.index(case)
        names = [modality, *(name for name in self.dataset.modalities if name != modality)]
        image = {name: torch.from_numpy(self.arrays.read(f"image {name}", place))[None] for name in names}
        target = torch.from_numpy(self.dataset.mask(case, modality).astype(np.int64))
        return {"image": image, "index": index, "id": self.ids[index], "target": target}

    def patient(self, image_id: str) -> str:
        """The patient of a volume."""
        return self.dataset.patient(self.of[image_id][0])

    def spacing(self, image_id: str) -> tuple[float, float, float]:
        """Sides of a voxel in mm."""
        return self.dataset.header(*self.of[image_id]).spacing

    def groups(self) -> dict[str, list[str]]:
        """The volumes of each modality."""
        return {
            modality: [image_id for image_id, (_, name) in self.of.items() if name == modality]
            for modality in self.dataset.modalities
        }

    def tiles(self, sample: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a row of the contact sheet; see `fovea.pictures.volumes.volume_panels`."""
        volume = self.dataset.volume(*self.of[sample["id"]])
        return volume_panels(volume, outputs["prediction"], sample["target"].numpy(), self.spacing(sample["id"]))
