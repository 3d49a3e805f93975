"""From files to tensors: training samples, augmented, and evaluation samples with their target at native size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from fovea.data.images import files as images
from fovea.data.images.plan import Plan
from fovea.data.store import Store
from fovea.runtime.files import sha256

# Loaders' workers are the parallelism, and OpenCV's own threads do not survive the fork that makes them: a worker of
# a process that has used them hangs.
cv2.setNumThreads(0)

Transform = Callable[..., dict[str, Any]]  # albumentations: image=…, mask=… to the same names


class Arrays(Protocol):
    """Where resized arrays come from: the files themselves (`Resized`), or a cache of `fovea.data.cache`."""

    def read(self, kind: str, index: int) -> np.ndarray:
        """The array of a kind (`image`, `mask`, `pseudo`) at a place in the split; the caller may change it."""


class Resized:
    """Arrays of the training split, decoded and resized anew each time.

    Args:
        plan: What to read; other kinds than `kinds` are never opened.
        size: Side of the square that they are resized to, in pixels.
    """

    def __init__(self, plan: Plan, size: int) -> None:
        self.plan, self.size = plan, size
        self.ids = plan.train
        self.kinds = ("image", *sorted(plan.needs))

    def read(self, kind: str, index: int) -> np.ndarray:
        """`image` uint8 [size, size, C], `mask` uint8 [size, size] or `pseudo` float32 [size, size].

        Raises:
            ValueError: the file is missing or damaged.
        """
        image_id = self.plan.train[index]
        if kind == "image":
            return resize_image(self.plan.dataset.image(image_id), self.size)
        if kind == "mask":
            return resize_labels(self.plan.dataset.mask(image_id), self.size)
        assert self.plan.store is not None
        return resize_map(self.plan.store.read(image_id), self.size)

    def layout(self, kind: str) -> tuple[list[tuple[int, ...]], np.dtype]:
        """The shape of each array of a kind, which is that of the first, and the type of all."""
        model = self.read(kind, 0)
        return [model.shape] * len(self.ids), model.dtype

    def made_of(self, kind: str) -> dict[str, Any]:
        """See `fovea.data.cache.Source`."""
        plan, dataset = self.plan, self.plan.dataset
        files = [dataset.image_path(image_id) for image_id in self.ids]
        manifest = None
        if kind == "mask":  # and the images, whose sizes the masks are held against
            files += [path for path in map(dataset.mask_path, self.ids) if path is not None]
        if kind == "pseudo":
            assert plan.store is not None
            files = [plan.store.path / "maps" / f"{image_id}.png" for image_id in self.ids]
            manifest = sha256(plan.store.path / "manifest.json")
        return {
            "size": self.size,
            "dataset": {key: value for key, value in vars(dataset).items() if not key.startswith("_")},
            "root": str(dataset.root.resolve()),
            "manifest": manifest,
            "files": files,
            "code": [type(dataset), Resized, images, *([Store] if kind == "pseudo" else [])],
        }


class TrainingSamples(Dataset[dict[str, Any]]):
    """Images of the training split with the targets of `plan.needs`, and no other file opened.

    Resized first and augmented then, as published. The augmentation of a sample is a pure function of seed,
    epoch and place in the split, whatever the number of workers.

    Args:
        plan: What to read.
        size: Side of the square that images are resized to, in pixels.
        classes: 1 for binary masks.
        normalize: Albumentations transform applied last, to the image alone.
        augment: Albumentations transforms by name, in their order.
        seed: Seed of the augmentation.
        cache: Makes what keeps resized arrays (`fovea.data.cache`); without it files are decoded anew each time.
    """

    def __init__(
        self,
        plan: Plan,
        size: int,
        classes: int,
        normalize: Transform,
        augment: Mapping[str, Any],
        seed: int,
        cache: Callable[[Resized], Arrays] | None = None,
    ) -> None:
        import albumentations as A

        self.plan, self.classes, self.seed = plan, classes, seed
        self.normalize, self.table = normalize, lookup(normalize, plan.dataset.channels)
        resized = Resized(plan, size)
        self.kinds = resized.kinds
        self.arrays: Arrays = resized if cache is None else cache(resized)
        self.augment = A.Compose(list(augment.values()), additional_targets={"pseudo": "mask"}) if augment else None

    def __len__(self) -> int:
        return len(self.plan.train)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """The sample of (epoch, index), to be finished as a batch.

        `image` [C, H, W] (uint8, or float32 where a table cannot normalise it), `mask` uint8 [H, W] and `pseudo`
        float32 [H, W] as arrays, `index` and `id`.
        """
        epoch, index = key
        arrays = {kind: self.arrays.read(kind, index) for kind in self.kinds}
        if self.augment is not None:
            self.augment.set_random_seed(int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0]))
            arrays = self.augment(**arrays)
        if self.table is None:
            image = normalized(arrays["image"], self.normalize)
        else:
            image = np.ascontiguousarray(arrays["image"].transpose(2, 0, 1))
        return arrays | {"image": image, "index": index, "id": self.plan.train[index]}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of samples, stacked as tensors, as the network takes it: `fovea.data.batch.Batch`, on its device."""
        finished = dict(batch)
        if self.table is not None:
            finished["image"] = look_up(batch["image"], self.table)
        if "mask" in batch:
            finished["mask"] = batch["mask"][:, None].float() if self.classes == 1 else batch["mask"].long()
        if "pseudo" in batch:
            finished["pseudo"] = batch["pseudo"][:, None]
        return finished


class EvaluationSamples(Dataset[dict[str, Any]]):
    """Images of a split with their target as labels at native size; see `TrainingSamples` for the arguments.

    Args:
        threshold: Where a pseudo-mask is scored against, its target is `map >= threshold`.
    """

    def __init__(self, plan: Plan, ids: Sequence[str], size: int, normalize: Transform, threshold: float) -> None:
        self.plan, self.ids, self.size = plan, list(ids), size
        self.normalize, self.threshold = normalize, threshold

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image_id = self.ids[index]
        image = to_tensor(resize_image(self.plan.dataset.image(image_id), self.size), self.normalize)
        if self.plan.select_on == "mask":
            target = self.plan.dataset.mask(image_id)
        else:
            assert self.plan.store is not None
            target = self.plan.store.read(image_id) >= self.threshold
        return {"image": image, "index": index, "id": image_id, "target": torch.from_numpy(target.astype(np.int64))}


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """An image [H, W, C] as [size, size, C], bilinear."""
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return resized if resized.ndim == 3 else resized[:, :, None]  # OpenCV drops an axis of one channel


def resize_map(probability: np.ndarray, size: int) -> np.ndarray:
    """A continuous map [H, W] as [size, size], bilinear, before any threshold."""
    return cv2.resize(probability, (size, size), interpolation=cv2.INTER_LINEAR)


def resize_labels(mask: np.ndarray, size: int) -> np.ndarray:
    """Labels [H, W] as [size, size], by the nearest pixel."""
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)


def to_tensor(image: np.ndarray, normalize: Transform) -> torch.Tensor:
    """An image [H, W, C], normalised, as a float32 tensor [C, H, W]."""
    return torch.from_numpy(normalized(image, normalize))


def normalized(image: np.ndarray, normalize: Transform) -> np.ndarray:
    """An image [H, W, C], normalised, as float32 [C, H, W]."""
    values = normalize(image=image)["image"].astype(np.float32, copy=False)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def look_up(images: torch.Tensor, table: np.ndarray) -> torch.Tensor:
    """Images [B, C, H, W] of uint8 as float32, by the table [C, 256] of `lookup`, on their device."""
    if images.device.type != "cpu":
        return gathered(images, torch.from_numpy(table).to(images.device))
    found = np.empty(images.shape, np.float32)  # OpenCV is several times faster at it
    for image, planes in zip(images.numpy(), found, strict=True):
        for plane, values, out in zip(image, table, planes, strict=True):
            cv2.LUT(plane, values, out)
    return torch.from_numpy(found)


def gathered(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """`look_up` for any device."""
    return torch.stack([values[images[:, channel].long()] for channel, values in enumerate(table)], dim=1)


def lookup(normalize: Transform, channels: int) -> np.ndarray | None:
    """What `normalize` makes of each of the 256 values, float32 [C, 256]; None where a pixel depends on others.

    Read off the transform itself, so that it gives the same bits.
    """
    import albumentations as A

    declared: Any = normalize
    if type(normalize) is not A.Normalize or declared.normalization != "standard" or declared.p < 1:
        return None
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(256, 1, 1), channels, axis=2)
    return np.ascontiguousarray(normalize(image=ramp)["image"][:, 0].T.astype(np.float32, copy=False))
