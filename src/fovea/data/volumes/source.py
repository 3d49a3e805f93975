"""Volumes of several modalities: three dimensions, crops for the network, two streams."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fovea.data.source import Read
from fovea.data.volumes.pairs import Pairs
from fovea.data.volumes.plan import VolumePlan, make_plan, split_plan
from fovea.runtime.config import instantiate, locate

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fovea.data.images.samples import Arrays
    from fovea.data.volumes.held_out import VolumeSplit
    from fovea.data.volumes.prepared import Prepared
    from fovea.engine.datamodule import DataModule


class Volumes:
    """Cases of several modalities; what each key means stands in `configs/data/paired_volumes.yaml`.

    Raises:
        ValueError: a number makes no sense.
    """

    of_model: ClassVar[tuple[str, ...]] = ("channels", "classes", "intensity", "modalities", "size", "spacing")

    def __init__(
        self,
        name: str,
        root: str,
        dataset: Mapping[str, Any],
        modalities: Sequence[str],
        channels: int,
        classes: int,
        size: Sequence[int],
        spacing: Sequence[float | None] | None,
        intensity: Mapping[str, Any],
        labeled_fraction: float | None,
        crops: int,
        misalignment: Mapping[str, Any],
        augment: Mapping[str, Any],
        overlap: float,
        windows: int,
        batch_size: int,
        num_workers: int,
        drop_last: bool,
        seed: int,
        cache: Mapping[str, Any] | None = None,
    ) -> None:
        for key, value in (("modalities", modalities), ("classes", classes)):
            if value is None:
                raise ValueError(f"data.{key} is not given: add data.{key}=…, as docs/volumes.md says")
        _check(modalities, channels, size, spacing, intensity, crops, overlap, windows, augment)
        self.name, self.root, self.dataset = name, root, dataset
        self.modalities, self.classes, self.size, self.spacing = modalities, classes, size, spacing
        self.intensity, self.crops, self.augment, self.cache = intensity, crops, augment, cache
        self.overlap, self.windows = overlap, windows
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed

    def plan(self, needs: Collection[str]) -> VolumePlan:
        """See `fovea.data.volumes.plan.make_plan`."""
        return make_plan(self._dataset(), self.root, needs)

    def split_plan(self, split: str) -> VolumePlan:
        """See `fovea.data.volumes.plan.split_plan`."""
        return split_plan(self._dataset(), self.root, split)

    def describe(self, plan: VolumePlan) -> str:
        """One line on what is trained on."""
        return (
            f"{self.name}: trains on {len(plan.train)} labelled and {len(plan.unlabeled)} unlabelled cases of "
            f"{', '.join(self.modalities)}; {len(plan.val)} val cases, each modality scored against its mask"
        )

    def module(self, plan: VolumePlan) -> "DataModule":
        """Loaders of crops, a stream of labelled and one of unlabelled cases, and of whole volumes to validate on."""
        from fovea.data.volumes.crops import Crops
        from fovea.data.volumes.held_out import VolumeSplit
        from fovea.engine.datamodule import DataModule

        spatial, intensity = (
            [partial(transform_of, each) for each in (self.augment.get(group) or {}).values()]
            for group in ("spatial", "intensity")
        )
        streams = {"labeled": plan.train} | ({"unlabeled": plan.unlabeled} if plan.unlabeled else {})
        training = {}
        for stream, cases in streams.items():
            prepared = self._prepared(plan, cases, masks=stream == "labeled")
            arrays = self._arrays(prepared)
            training[stream] = Crops(prepared, arrays, self.size, self.crops, spatial, intensity, self.seed)
        validation = self._prepared(plan, plan.val, masks=False)
        held_out = VolumeSplit(validation, self._arrays(validation) if plan.val else validation)
        rest = (self.batch_size, self.num_workers, self.drop_last, self.seed)
        return DataModule(plan, training, held_out, *rest)

    def held_out(self, plan: VolumePlan, split: str) -> "VolumeSplit":
        """The volumes of a split, each modality of each case."""
        from fovea.data.volumes.held_out import VolumeSplit

        prepared = self._prepared(plan, plan.split(split), masks=False)
        return VolumeSplit(prepared, prepared)

    def whole(self, module: "nn.Module") -> Read:
        """Reads whole volumes by windows of the size of a crop."""
        from fovea.data.volumes.windows import SlidingWindow

        return SlidingWindow(module, self.size, self.overlap, self.windows)

    @classmethod
    def predict(
        cls, trained: Mapping[str, Any], module: "nn.Module", source: Path, out: Path, device: "torch.device"
    ) -> tuple[int, dict[str, str]]:
        """Label maps and overlays of volumes; see `fovea.data.volumes.predict.predict_volumes`."""
        from fovea.data.volumes.predict import predict_volumes
        from fovea.data.volumes.windows import SlidingWindow

        intensity = {name: instantiate(each) for name, each in trained["intensity"].items()}
        read = SlidingWindow(module, trained["size"], trained["overlap"], trained["windows"])
        return predict_volumes(read, source, trained["modalities"], trained["spacing"], intensity, device, out)

    def _dataset(self) -> Callable[..., Pairs]:
        return partial(instantiate(self.dataset), modalities=self.modalities, classes=self.classes)

    def _prepared(self, plan: VolumePlan, cases: Sequence[str], masks: bool) -> "Prepared":
        from fovea.data.volumes.prepared import Prepared

        intensity = {name: instantiate(self.intensity[name]) for name in self.modalities}
        return Prepared(plan.dataset, cases, masks, self.spacing, intensity)

    def _arrays(self, prepared: "Prepared") -> "Arrays":
        if not self.cache:
            return prepared
        made: Arrays = instantiate(self.cache)(prepared)
        return made


def transform_of(config: Mapping[str, Any], kinds: Sequence[str]) -> Callable[..., Any]:
    """A transform of MONAI for some kinds of arrays; masks by the nearest voxel where it would interpolate."""
    taken = signature(locate(config["_target_"], "data.augment")).parameters
    modes = ["nearest" if kind.startswith("mask") else "bilinear" for kind in kinds]
    if "keys" not in taken:
        raise ValueError(
            f"data.augment: {config['_target_']} takes no keys; name the one of dictionaries, which ends in d"
        )
    built: Callable[..., Any] = instantiate(
        {"mode": modes, **config, "keys": kinds} if "mode" in taken else {**config, "keys": kinds}
    )
    return built


def _check(
    modalities: Sequence[str],
    channels: int,
    size: Sequence[int],
    spacing: Sequence[float | None] | None,
    intensity: Mapping[str, Any],
    crops: int,
    overlap: float,
    windows: int,
    augment: Mapping[str, Any],
) -> None:
    """Refuse values that would show late, or not at all."""
    if isinstance(modalities, str) or len(modalities) < 1 or len({*modalities}) < len(modalities):
        raise ValueError(f"data.modalities={modalities}: give different names, as in [ct,mri]")
    if missing := [name for name in modalities if name not in intensity]:
        raise ValueError(f"data.intensity: nothing for {missing[0]}; add a transform of its intensities")
    if channels != 1:
        raise ValueError(f"data.channels={channels}: a volume has one channel; set data.channels=1")
    three = not isinstance(size, str | int) and len(size) == 3 and all(type(side) is int and side > 0 for side in size)
    if not three:
        raise ValueError(f"data.size={size}: give three whole numbers of voxels, as in [128,128,128]")
    if spacing is not None and (
        len(spacing) != 3 or any(side is not None and not 0 < side < float("inf") for side in spacing)
    ):
        raise ValueError(f"data.spacing={spacing}: give three sides in mm, null for one that stays, or null for all")
    if type(crops) is not int or crops < 1 or type(windows) is not int or windows < 1 or not 0 <= overlap < 1:
        raise ValueError(
            f"data.crops={crops} data.windows={windows} data.overlap={overlap}: give whole numbers from 1 on, and an "
            "overlap in [0, 1)"
        )
    if unknown := sorted({*augment} - {"spatial", "intensity"}):
        raise ValueError(f"data.augment.{unknown[0]} is for images; choose augmentation=volumes (or none)")
