"""Volumes of one or several modalities: three dimensions, crops for the network, labeled and unlabeled cases."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from fovea.data.labels import Classes
from fovea.data.predict_request import PredictRequest
from fovea.data.predicted import Predicted, predicted_labels
from fovea.data.source import AGAINST, UNLABELED, Predictor, Samples, Split, Training, TrainingSamples, digest
from fovea.data.splits import chosen_split
from fovea.data.volumes.grid import ALIKE, in_plane, slice_axis
from fovea.data.volumes.pairs import Pairs, image_id
from fovea.data.volumes.targets import Mask, PseudoMask, Target
from fovea.runtime.bounds import Count, Fraction, NonNegativeInt, Positive, Progress
from fovea.runtime.config import check_targets, instantiate, locate
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fovea.data.cache import Arrays
    from fovea.data.volumes.prepared import Array, Prepared

Three = Field(min_length=3, max_length=3)
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Volumes:
    """Cases of one or several modalities, a `fovea.data.source.Source`; see `configs/data/paired_volumes.yaml`.

    A ValueError if an argument is missing, or does not fit the others.
    """

    model_keys = ("channels", "classes", "intensity", "modalities", "size", "slices", "spacing")

    name: str
    root: str
    dataset: Mapping[str, Any]
    modalities: Annotated[list[str], Field(min_length=1)] | None
    channels: Literal[1]
    classes: Classes | None
    size: Annotated[list[Count], Three]
    spacing: Annotated[list[Positive | None], Three] | None
    intensity: Mapping[str, Any]
    slices: bool | None = False  # None: a checkpoint from before this key
    labeled_fraction: float | None  # this key, fold, ignore_label, misalignment and slices go to the data set
    labeled_slices: Count | None = None
    fold: Sequence[int] | None = None
    ignore_label: int | None = None
    predicted: Mapping[str, Any] | None = None
    misalignment: Mapping[str, Any]
    select_threshold: Fraction = 0.5
    crops: Count
    augment: Mapping[str, Any]
    augment_unlabeled: Literal["all", "spatial"] = "all"
    overlap: Progress
    largest_component: bool = False
    windows: Count
    batch_size: Count
    num_workers: NonNegativeInt
    drop_last: bool
    seed: int
    cache: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for key in ("modalities", "classes"):
            if getattr(self, key) is None:
                raise ValueError(f"data.{key} is not given: add data.{key}=…, see docs/volumes.md")
        names = self._names
        if len({*names}) < len(names):
            raise ValueError(f"data.modalities must be different names, got {names}")
        if missing := [name for name in names if name not in self.intensity]:
            add = f"'+data.intensity.{missing[0]}=${{data.intensity.mri}}'"
            fix = f"add a transform of its intensities, as {add} for MRI"
            raise ValueError(f"data.intensity has no {missing[0]}; {fix}")
        self.size, self.spacing = in_plane(self.size, self.spacing, bool(self.slices))
        if unknown := sorted({*self.augment} - {"spatial", "intensity"}):
            raise ValueError(f"data.augment.{unknown[0]} is for images; choose augmentation=volumes or none")

    def train(self, needs: Collection[str]) -> Training:
        """See `fovea.data.source.Source.train`. Only headers are read, and masks to check their labels."""
        dataset = self._dataset()
        splits = dataset.splits()
        predicted = predicted_labels(self.predicted, needs)
        targets = self._targets(dataset, needs, predicted, splits["unlabeled"])
        if not splits["train"]:
            raise ValueError(f"{dataset.path}: no labeled case to train on; list some under training")
        labeled = splits["train"]
        for target in targets:
            labeled = target.check(labeled)
        if not labeled:
            raise ValueError(f"{dataset.path}: no mask under training has a labeled voxel; see data.ignore_label")
        others = splits["unlabeled"] if predicted or UNLABELED in needs else []
        if UNLABELED in needs and not others:
            fix = "list some under unlabeled_training, set data.labeled_fraction, or choose supervision=full"
            raise ValueError(f"{dataset.path}: no unlabeled case; {fix}")
        dataset.check(others)
        if self.labeled_slices:
            self._warn_of_dropped(dataset, labeled)
        ids = [image_id(case, name) for case in (*labeled, *others) for name in self._names]
        if predicted:
            volumes = {image_id(case, name): case for case in dataset.cases for name in self._names}
            held = {each: [i for i, case in volumes.items() if case in splits[each]] for each in ("val", "test")}
            patients = {image: dataset.patient(case) for image, case in volumes.items()}
            ids += predicted.check(dataset.names, {"train": ids, **held}, lambda i: patients.get(i, i))
        val = self._split(dataset, "val", splits["val"], cached=True)
        masks, part = len(labeled) * len(self._names), "" if self.ignore_label is None else "partial_"
        labels = {f"{part}volume_{target.name}": masks for target in targets}
        taught, unlabeled = others if predicted else [], others if UNLABELED in needs else []
        given = f"{len(labeled)} labeled" + (f", {len(taught)} predicted" if taught else "")
        return Training(
            ids=[*dict.fromkeys(ids)],
            digest=digest([*labeled, "", *others]),
            description=f"{self.name}: trains on {given} and {len(unlabeled)} unlabeled cases of "
            f"{', '.join(self._names)}; {len(val.groups[self._names[0]])} val cases, each modality scored against its "
            + AGAINST[val.select_on]
            + (f"; slices across {dataset.across([*labeled, *others])}" if self.slices else ""),
            val=val,
            labels={"volume_slices": sum(targets[0].marked)} if self.labeled_slices else labels,
            streams=partial(self._streams, dataset, targets, [*labeled, *taught], unlabeled),
            unit="cases",
        )

    def _warn_of_dropped(self, dataset: Pairs, labeled: Sequence[str]) -> None:
        """Warn if volumes get fewer slices, since the nearest one to a new slice may not be a labeled one."""
        headers = {image_id(case, name): dataset.header(case, name) for case in labeled for name in self._names}
        sides = self.spacing or [None] * 3
        apart = {image: (sides[axis := slice_axis(each)], each.spacing[axis]) for image, each in headers.items()}
        if fewer := [image for image, (wanted, own) in apart.items() if wanted and wanted > (1 + ALIKE) * own]:
            fix = "set data.spacing to null across the slices, or data.slices=true"
            log.warning("data.spacing=%s drops slices, maybe labeled ones, of %s: %s", sides, first_few(fewer), fix)

    def split(self, name: str) -> Split:
        dataset = self._dataset()
        missing = f"{dataset.path} lists no such cases; add some, or choose another split"
        return self._split(dataset, name, chosen_split(dataset.splits(), name, missing), cached=False)

    def predictor(self, module: "nn.Module") -> Predictor:
        """Return a sliding window of the size of a crop; of its prediction, the largest components if asked."""
        from fovea.data.volumes.windows import SlidingWindow
        from fovea.supervision.largest import largest_if_asked

        return largest_if_asked(SlidingWindow(module, self.size, self.overlap, self.windows), vars(self))

    @classmethod
    def predict(
        cls, data: Mapping[str, Any], module: "nn.Module", device: "torch.device", request: PredictRequest
    ) -> tuple[int, dict[str, str]]:
        from fovea.data.volumes.predict import predict_volumes
        from fovea.data.volumes.windows import native

        return predict_volumes(native(request.applied_to(data), module, device), request, data)

    @property
    def _names(self) -> list[str]:
        return self.modalities or []

    def _dataset(self) -> Pairs:
        keys = ("fold", "ignore_label", "labeled_fraction")
        shared: dict[str, Any] = {"slices": bool(self.slices), **{key: getattr(self, key) for key in keys}}
        if self.misalignment:
            shared["misalignment"] = {"_target_": "fovea.data.volumes.misalignment.Misalignment", **self.misalignment}
        if twice := sorted({*shared, "root", "modalities", "classes"} & self.dataset.keys()):
            raise ValueError(f"data.dataset.{twice[0]} would be ignored; set data.{twice[0]}")
        check_targets(self.dataset, "data.dataset")
        factory = instantiate({**self.dataset, **shared, "_partial_": True}, "data")
        return factory(root=self.root, modalities=self.modalities, classes=self.classes)

    def _targets(
        self, dataset: Pairs, needs: Collection[str], predicted: Predicted | None, unlabeled: Sequence[str]
    ) -> list[Target]:
        if self.labeled_slices is not None and PseudoMask.name in needs:
            raise ValueError("data.labeled_slices is for masks; leave it out, or choose another supervision=…")
        mask = Mask(dataset, self.labeled_slices, predicted, unlabeled if predicted else ())
        every: list[Target] = [mask, PseudoMask(dataset, self.select_threshold)]
        served = {target.name: target for target in every}
        if unknown := sorted({*needs} - {*served, UNLABELED}):
            lacks = f"which data={self.name} does not have (it has {', '.join([*served, UNLABELED])})"
            fix = "choose another supervision=… or data=…"
            raise ValueError(f"supervision trains on {first_few(unknown)}, {lacks}; {fix}")
        return [target for name, target in served.items() if name in needs]

    def _split(self, dataset: Pairs, name: str, cases: Sequence[str], cached: bool) -> Split:
        """Check the cases of a split; each modality of a case is an image with the id `<case>_<modality>`."""
        masks = any(dataset.has("mask", case) for case in cases) or not cases or not dataset.has("map", cases[0])
        target: Target = Mask(dataset) if masks else PseudoMask(dataset, self.select_threshold)
        cases = target.check(cases, open_all=True)  # a damaged file would otherwise end the run at its first validation
        images = {image_id(case, modality): (case, modality) for case in cases for modality in self._names}

        def panels(sample: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
            from fovea.pictures.panels import volume_panels

            case, modality = images[sample["id"]]
            volume, spacing = dataset.volume(case, modality), dataset.header(case, modality).spacing
            return volume_panels(volume, outputs["prediction"], sample["target"].numpy(), spacing, target.title)

        return Split(
            name=name,
            ids=[*images],
            open=partial(self._samples, dataset, target, cases, cached),
            select_on=target.name,
            patient=lambda image: dataset.patient(images[image][0]),
            spacing=lambda image: dataset.header(*images[image]).spacing,
            unit="mm",
            panels=panels,
            classes=dataset.names,
            groups={name: [i for i, (_, modality) in images.items() if modality == name] for name in self._names},
        )

    def _streams(
        self, dataset: Pairs, targets: Sequence[Target], labeled: Sequence[str], unlabeled: Sequence[str]
    ) -> dict[str, TrainingSamples]:
        from fovea.data.volumes.crops import Crops
        from fovea.data.volumes.slices import Slices

        transforms = {
            group: [partial(transform_of, each, slices=bool(self.slices)) for each in (named or {}).values()]
            for group, named in self.augment.items()
        }
        spatial, intensity = transforms.get("spatial", []), transforms.get("intensity", [])
        cut = Slices if self.slices else Crops

        def crops(cases: Sequence[str], targets: Sequence[Target], shades: list[Any]) -> Crops:
            prepared = self._prepared(dataset, cases, targets)
            return cut(*prepared, self.size, self.crops, spatial, shades, self.seed)

        weak = [] if self.augment_unlabeled == "spatial" else intensity
        streams: dict[str, TrainingSamples] = {"labeled": crops(labeled, targets, intensity)}
        return streams | ({UNLABELED: crops(unlabeled, (), weak)} if unlabeled else {})

    def _samples(self, dataset: Pairs, target: Target, cases: Sequence[str], cached: bool) -> Samples:
        from fovea.data.volumes.prepared import WholeVolumes

        return WholeVolumes(*self._prepared(dataset, cases, (), cached and bool(cases)), target)

    def _prepared(
        self, dataset: Pairs, cases: Sequence[str], targets: Sequence[Target], cached: bool = True
    ) -> "tuple[Prepared, Arrays]":
        """Return the volumes of some cases, and what reads their arrays."""
        from fovea.data.volumes.prepared import Prepared

        prepared = Prepared(dataset, cases, targets, self.spacing, self.intensity)
        return prepared, instantiate(self.cache, "data.cache")(prepared) if self.cache and cached else prepared


def transform_of(config: Mapping[str, Any], arrays: Sequence["Array"], slices: bool = False) -> Callable[..., Any]:
    """Return a dictionary transform of MONAI for some arrays; it takes the nearest voxel of arrays of labels."""
    parameters = signature(locate(config["_target_"], "data.augment")).parameters
    if "keys" not in parameters:
        raise ValueError(f"data.augment: {config['_target_']} has no keys; choose the transform whose name ends in d")
    modes: dict[str, Any] = {}
    if "mode" in parameters:
        modes["mode"] = ["nearest" if array.nearest else "bilinear" for array in arrays]
    if "upsample_mode" in parameters:
        modes["upsample_mode"] = "bilinear" if slices else "trilinear"
    return instantiate({**modes, **config, "keys": arrays})
