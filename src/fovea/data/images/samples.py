"""From files to arrays: training samples, augmented, and evaluation samples with their target at native size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch

from fovea.data.cache import Arrays
from fovea.data.images.folder import Folder
from fovea.data.images.targets import Target

Transform = Callable[..., dict[str, Any]]  # of albumentations: image=…, mask=… to the same names

# The workers of a loader run in parallel, and a worker that is forked from a process that has used OpenCV's own
# threads hangs.
cv2.setNumThreads(0)


class Resized:
    """Images and targets of a training split, decoded and resized to squares at each read; nothing else is opened."""

    def __init__(self, dataset: Folder, ids: Sequence[str], targets: Sequence[Target], size: int) -> None:
        self.dataset, self.ids, self.targets, self.size = dataset, list(ids), targets, size
        self.parts = {target.name: target for target in targets}
        self.kinds = ("image", *self.parts)

    def read(self, kind: str, index: int) -> np.ndarray:
        """Return an array [size, size] or [size, size, C]; ValueError: the file is missing or damaged."""
        if (target := self.parts.get(kind)) is None:
            return resize_image(self.dataset.checked_image(self.ids[index]), self.size)
        return target.resize(target.read(self.ids[index]), self.size)

    def layout(self, kind: str) -> tuple[list[tuple[int, ...]], np.dtype]:
        """Return the shape of each array of a name, which is that of the first, and their type."""
        model = self.read(kind, 0)
        return [model.shape] * len(self.ids), model.dtype

    def inputs(self, kind: str) -> dict[str, Any]:
        """Return what decides the arrays of a name; see `fovea.data.cache.Cacheable`."""
        target, dataset = self.parts.get(kind), self.dataset
        paths = {path for name in self.ids for path in (target.files(name) if target else [dataset.image_path(name)])}
        return {
            "size": self.size,
            "target": target.settings if target else {},
            "dataset": {key: value for key, value in vars(dataset).items() if not key.startswith("_")},
            "root": str(dataset.root.resolve()),
            "files": sorted(paths),
            "code": [type(dataset)],
        }


class ImageTraining:
    """The samples of one stream of a training, a `fovea.data.source.TrainingSamples`.

    Images are resized first and augmented then, as published. The augmentation of a sample is a pure function of seed,
    pass and position, whatever the number of workers. `augment` and `normalize`, which is applied last and to the image
    alone, are transforms of albumentations; `cache` makes a cache of the resized arrays.
    """

    def __init__(
        self,
        resized: Resized,
        normalize: Transform,
        augment: Mapping[str, Any],
        seed: int,
        cache: Callable[[Resized], Arrays] | None = None,
    ) -> None:
        self.ids, self.kinds, self.targets, self.seed = resized.ids, resized.kinds, resized.targets, seed
        self.normalize, self.table = normalize, lookup_table(normalize, resized.dataset.channels)
        self.arrays: Arrays = resized if cache is None else cache(resized)
        for fill in {target.fill for target in self.targets} - {0}:
            _fill_masks(augment.values(), fill)
        others = {target.name: "mask" for target in self.targets}  # albumentations moves them as it moves masks
        self.augment = A.Compose(list(augment.values()), additional_targets=others) if augment else None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return `image` [C, H, W] (uint8, or float32 if no table can normalize it), targets [H, W], `index`, `id`."""
        turn, index = key
        arrays = {kind: self.arrays.read(kind, index) for kind in self.kinds}
        if self.augment is not None:
            self.augment.set_random_seed(int(np.random.SeedSequence([self.seed, turn, index]).generate_state(1)[0]))
            arrays = self.augment(**arrays)
        if self.table is None:
            image = normalized(arrays["image"], self.normalize)
        else:
            image = np.ascontiguousarray(arrays["image"].transpose(2, 0, 1))
        return arrays | {"image": image, "index": index, "id": self.ids[index]}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Normalize the images and collate the targets of a batch, on its device."""
        finished = dict(batch)
        if self.table is not None:
            finished["image"] = look_up(batch["image"], self.table)
        return finished | {target.name: target.collate(batch[target.name]) for target in self.targets}


class ImageSamples:
    """The samples of a split, resized, with their target at native size; a `fovea.data.source.Samples`."""

    def __init__(self, dataset: Folder, ids: Sequence[str], target: Target, size: int, normalize: Transform) -> None:
        self.dataset, self.ids, self.target, self.size, self.normalize = dataset, list(ids), target, size, normalize

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image_id = self.ids[index]
        image = to_tensor(resize_image(self.dataset.checked_image(image_id), self.size), self.normalize)
        target = torch.from_numpy(self.target.labels(image_id))
        return {"image": image, "index": index, "id": image_id, "target": target}


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Resize an image [H, W, C] to [size, size, C], bilinearly."""
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return resized if resized.ndim == 3 else resized[:, :, None]  # OpenCV drops an axis of one channel


def to_tensor(image: np.ndarray, normalize: Transform) -> torch.Tensor:
    """Return an image [H, W, C] normalized, as a tensor float32 [C, H, W]."""
    return torch.from_numpy(normalized(image, normalize))


def _fill_masks(transforms: Any, fill: int) -> None:
    """Have transforms of albumentations, nested ones too, fill masks with a value where there is no image."""
    for transform in transforms:
        if getattr(transform, "fill_mask", None) is not None:
            transform.fill_mask = fill
        _fill_masks(getattr(transform, "transforms", ()), fill)


def normalized(image: np.ndarray, normalize: Transform) -> np.ndarray:
    """Return an image [H, W, C] normalized, float32 [C, H, W]."""
    values = normalize(image=image)["image"].astype(np.float32, copy=False)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def lookup_table(normalize: Transform, channels: int) -> np.ndarray | None:
    """Return what `normalize` gives for each of the 256 values, float32 [C, 256]; None if pixels depend on others.

    The table is computed by the transform itself, so that it gives the same bits.
    """
    declared: Any = normalize
    if type(normalize) is not A.Normalize or declared.normalization != "standard" or declared.p < 1:
        return None
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(256, 1, 1), channels, axis=2)
    return np.ascontiguousarray(normalize(image=ramp)["image"][:, 0].T.astype(np.float32, copy=False))


def look_up(images: torch.Tensor, table: np.ndarray) -> torch.Tensor:
    """Normalize images [B, C, H, W], uint8, by a table [C, 256], on their device."""
    values = torch.from_numpy(table).to(images.device)
    return torch.stack([row[images[:, channel].long()] for channel, row in enumerate(values)], dim=1)
