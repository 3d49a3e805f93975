"""Volumes of several modalities: three dimensions, crops for the network, two streams."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fovea.data.source import Predictor, Samples, Split, Training, TrainingSamples, digest
from fovea.data.splits import chosen_split
from fovea.data.volumes.pairs import Pairs
from fovea.runtime.config import instantiate, locate
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fovea.data.cache import Arrays
    from fovea.data.volumes.prepared import Array, Prepared

SERVED = ("mask", "unlabeled")


class Volumes:
    """Cases of several modalities; what each key means stands in `configs/data/paired_volumes.yaml`.

    Raises:
        ValueError: a number makes no sense.
    """

    model_keys: ClassVar[tuple[str, ...]] = ("channels", "classes", "intensity", "modalities", "size", "spacing")

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
        self.labeled_fraction, self.misalignment = labeled_fraction, misalignment
        self.intensity, self.crops, self.augment, self.cache = intensity, crops, augment, cache
        self.overlap, self.windows = overlap, windows
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed

    def train(self, needs: Collection[str]) -> Training:
        """See `fovea.data.source.Source.train`: the list, and the headers of all files that a training opens."""
        if unknown := sorted({*needs} - {*SERVED}):
            raise ValueError(
                f"supervision trains on {first_few(unknown)}, which volumes do not serve; choose supervision=cmc, "
                "labeled_only, mean_teacher or cross_pseudo"
            )
        dataset = self._dataset()
        splits = dataset.splits()
        if not splits["train"]:
            raise ValueError(f"{dataset.path}: no labeled case to train on; list some under training")
        unlabeled = splits["unlabeled"] if "unlabeled" in needs else []
        if "unlabeled" in needs and not unlabeled:
            raise ValueError(
                f"{dataset.path}: no unlabeled case; list some under unlabeled_training, set data.labeled_fraction, or "
                "choose supervision=labeled_only"
            )
        dataset.check(splits["train"], masks=True)
        dataset.check(unlabeled, masks=False)
        val = self._split(dataset, "val", splits["val"], cached=True)
        return Training(
            ids=[image_id(case, name) for case in (*splits["train"], *unlabeled) for name in self.modalities],
            digest=digest([*splits["train"], "", *unlabeled]),
            description=f"{self.name}: trains on {len(splits['train'])} labeled and {len(unlabeled)} unlabeled cases "
            f"of {', '.join(self.modalities)}; {len(splits['val'])} val cases, each modality scored against its mask",
            val=val,
            streams=partial(self._streams, dataset, splits["train"], unlabeled),
        )

    def split(self, name: str) -> Split:
        """See `fovea.data.source.Source.split`."""
        dataset = self._dataset()
        missing = f"{dataset.path} lists no such cases; add some, or choose another split"
        return self._split(dataset, name, chosen_split(dataset.splits(), name, missing), cached=False)

    def _split(self, dataset: Pairs, name: str, cases: Sequence[str], cached: bool) -> Split:
        """Check the cases of a split; each modality of a case is an image of its own, `<case>_<modality>`."""
        dataset.check(cases, masks=True)
        images = {image_id(case, modality): (case, modality) for case in cases for modality in self.modalities}
        return Split(
            name=name,
            ids=[*images],
            open=partial(self._samples, dataset, cases, cached),
            select_on="mask",
            patient=lambda image: dataset.patient(images[image][0]),
            spacing=lambda image: dataset.header(*images[image]).spacing,
            unit="mm",
            panels=partial(self._panels, dataset, images),
            classes=dataset.names,
            groups={name: [i for i, (_, modality) in images.items() if modality == name] for name in self.modalities},
        )

    def _streams(self, dataset: Pairs, labeled: Sequence[str], unlabeled: Sequence[str]) -> dict[str, TrainingSamples]:
        from fovea.data.volumes.crops import Crops

        spatial, intensity = (
            [partial(transform_of, transform) for transform in (self.augment.get(group) or {}).values()]
            for group in ("spatial", "intensity")
        )
        streams: dict[str, TrainingSamples] = {}
        for stream, cases in {"labeled": labeled, "unlabeled": unlabeled}.items():
            if cases:
                prepared = self._prepared(dataset, cases, masks=stream == "labeled")
                arrays = self._arrays(prepared)
                streams[stream] = Crops(prepared, arrays, self.size, self.crops, spatial, intensity, self.seed)
        return streams

    def _samples(self, dataset: Pairs, cases: Sequence[str], cached: bool) -> Samples:
        from fovea.data.volumes.held_out import WholeVolumes

        prepared = self._prepared(dataset, cases, masks=False)
        return WholeVolumes(prepared, self._arrays(prepared) if cached and cases else prepared)

    @staticmethod
    def _panels(
        dataset: Pairs, images: Mapping[str, tuple[str, str]], sample: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        from fovea.pictures.volumes import volume_panels

        case, modality = images[sample["id"]]
        spacing = dataset.header(case, modality).spacing
        return volume_panels(dataset.volume(case, modality), outputs["prediction"], sample["target"].numpy(), spacing)

    def predictor(self, module: "nn.Module") -> Predictor:
        """Return a sliding window of the size of a crop."""
        from fovea.data.volumes.windows import SlidingWindow

        return SlidingWindow(module, self.size, self.overlap, self.windows)

    @classmethod
    def predict(
        cls, data: Mapping[str, Any], module: "nn.Module", source: Path, out: Path, device: "torch.device"
    ) -> tuple[int, dict[str, str]]:
        """Label maps and overlays of volumes; see `fovea.data.volumes.predict.predict_volumes`."""
        from fovea.data.volumes.predict import predict_volumes
        from fovea.data.volumes.windows import SlidingWindow

        intensity = {name: instantiate(each) for name, each in data["intensity"].items()}
        read = SlidingWindow(module, data["size"], data["overlap"], data["windows"])
        return predict_volumes(read, source, data["modalities"], data["spacing"], intensity, device, out)

    def _dataset(self) -> Pairs:
        shared: dict[str, Any] = {"labeled_fraction": self.labeled_fraction, "_partial_": True}
        if self.misalignment:
            shared["misalignment"] = {"_target_": "fovea.data.volumes.misalignment.Misalignment", **self.misalignment}
        factory = instantiate({**self.dataset, **shared}, "data")
        dataset: Pairs = factory(root=self.root, modalities=self.modalities, classes=self.classes)
        return dataset

    def _prepared(self, dataset: Pairs, cases: Sequence[str], masks: bool) -> "Prepared":
        from fovea.data.volumes.prepared import Prepared

        intensity = {name: instantiate(self.intensity[name]) for name in self.modalities}
        return Prepared(dataset, cases, masks, self.spacing, intensity)

    def _arrays(self, prepared: "Prepared") -> "Arrays":
        if not self.cache:
            return prepared
        made: Arrays = instantiate(self.cache)(prepared)
        return made


def image_id(case: str, modality: str) -> str:
    """Return the id of one modality of a case."""
    return f"{case}_{modality}"


def transform_of(config: Mapping[str, Any], kinds: Sequence["Array"]) -> Callable[..., Any]:
    """A transform of MONAI for some kinds of arrays; masks by the nearest voxel where it would interpolate."""
    taken = signature(locate(config["_target_"], "data.augment")).parameters
    modes = ["nearest" if kind.what == "mask" else "bilinear" for kind in kinds]
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
