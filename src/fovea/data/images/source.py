"""Images with masks or pseudo-masks: two dimensions, resized to one square for the network."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fovea.data.images.files import Exif
from fovea.data.images.folder import Folder
from fovea.data.images.panels import Panels
from fovea.data.images.targets import Mask, PseudoMask, Target
from fovea.data.labels import Classes
from fovea.data.maps import parameters, prepare_command, store_path, weights
from fovea.data.predict_request import PredictRequest
from fovea.data.predicted import Predicted, predicted_labels
from fovea.data.source import AGAINST, UNLABELED, Predictor, Samples, Split, Training, TrainingSamples, digest
from fovea.data.splits import carve, chosen_split, of_patients, same_files
from fovea.data.store import Store
from fovea.runtime.bounds import Count, NonNegativeInt, PositiveFraction, Window
from fovea.runtime.config import check_targets, instantiate, locate, path_of, target_of
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    import torch
    from torch import nn

_SHARED = ("channels", "classes", "exif", "fold", "ignore_label", "labels", "protocol", "range")
"""Keys of `data` that the data set takes."""
log = logging.getLogger(__name__)


def folder_of(data: Mapping[str, Any]) -> Callable[..., Folder]:
    """Return the factory, which takes `root`, of the images that the group `data` describes; refuse other data."""
    path_of({"data.root": data.get("root", "")}, "data.root")
    target = target_of(data["dataset"], "data.dataset")
    located = locate(target, "data.dataset._target_")
    if not issubclass(located, Folder):
        what = f"data={data.get('name')}: {target} is no data set of images (fovea.data.images.folder.Folder)"
        raise ValueError(f"{what}, which this command needs; choose data=folder, kvasir, …")
    shared = {key: data[key] for key in _SHARED if key in data}
    if twice := sorted({*shared, "root"} & data["dataset"].keys()):
        raise ValueError(f"data.dataset.{twice[0]} would be ignored; set data.{twice[0]}")
    taken = signature(located).parameters
    lacks = [name for name in shared if name not in taken]
    if lacks and not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        fix = "add **options to its __init__, and hand them to super().__init__(root, **options)"
        raise ValueError(f"data.dataset: {target} does not take {first_few(lacks)}; {fix}")
    check_targets(data["dataset"], "data.dataset")
    return instantiate({**data["dataset"], **shared, "_partial_": True}, "data")


@dataclass(kw_only=True)
class Images:
    """A data set of images, a `fovea.data.source.Source`; `configs/data/base.yaml` explains the keys."""

    model_keys: ClassVar[tuple[str, ...]] = ("channels", "classes", "normalize", "size")

    name: str
    root: str
    dataset: Mapping[str, Any]
    channels: Literal[1, 3]
    classes: Classes
    size: Count
    batch_size: Count
    num_workers: NonNegativeInt
    drop_last: bool
    fraction: PositiveFraction
    labeled_fraction: PositiveFraction | None = None
    ignore_label: int | None = None
    predicted: Mapping[str, Any] | None = None
    labels: Mapping[int, str] | None = None
    protocol: str = "clean"
    fold: Sequence[int] | None = None
    range: Window | None = None
    exif: Exif = "ignore"
    select_on: Literal["auto", "mask", "pseudo"]
    select_threshold: PositiveFraction
    largest_component: bool = False
    normalize: Mapping[str, Any]
    augment: Mapping[str, Any]
    seed: int
    cache: Mapping[str, Any] | None = None
    duplicates: Literal["warn", "refuse", "ignore"] = "warn"
    maps: Mapping[str, Any] | None = None
    gaze: Mapping[str, Any] | None = None  # read by the group `labels`

    def train(self, needs: Collection[str]) -> Training:
        if wrong := sorted({*self.augment} & {"spatial", "intensity"}):
            raise ValueError(f"data.augment.{wrong[0]} is for volumes; choose augmentation=flips, strong or none")
        dataset = self._dataset()
        splits = dataset.splits()
        if not splits["train"]:
            raise ValueError(f"data.root: {self.root} has no training images; add some, or correct train.txt")
        dataset.check(splits["train"], masks=False)
        self._check_duplicates(dataset, splits)
        ids, unlabeled = splits["train"], splits.get("unlabeled", [])
        if self.labeled_fraction is not None and self.labeled_fraction < 1:
            rest, ids = carve(ids, self.labeled_fraction, self.seed, dataset.patient, kept=not unlabeled)
            unlabeled = sorted([*rest, *unlabeled])
        predicted = predicted_labels(self.predicted, needs)
        targets = self._targets(dataset, needs, predicted, unlabeled)
        for target in targets:
            ids = target.check(ids)
        if UNLABELED in needs and not unlabeled:
            fix = "list some in unlabeled.txt, set data.labeled_fraction, or choose supervision=full"
            raise ValueError(f"{dataset.root}: no unlabeled images; {fix}")
        others = unlabeled if predicted or UNLABELED in needs else []
        dataset.check(others, masks=False)
        if self.fraction < 1:  # a smaller fraction is a part of a larger one
            _, ids = carve(ids, self.fraction, self.seed, dataset.patient)
            _, others = carve(others, self.fraction, self.seed, dataset.patient)
        if not ids or (UNLABELED in needs and not others):
            kind = "unlabeled" if ids else "labeled"
            given = f"data.fraction={self.fraction:g} and data.labeled_fraction={self.labeled_fraction}"
            fix = "raise data.fraction, or change data.labeled_fraction"
            raise ValueError(f"{dataset.root}: {given} leave no {kind} image, since patients stay whole; {fix}")
        taught_by = self._refined_by(dataset, splits) if PseudoMask.name in needs else []
        if predicted:
            taught_by += predicted.check(dataset.names, {**splits, "train": [*ids, *others]}, dataset.patient)
        val = self._split(dataset, "val", splits["val"], needs)
        kinds = {Mask.name: "masks" if self.ignore_label is None else "partial_masks"}
        kinds[PseudoMask.name] = self.maps["labels"].get("name", "maps") if self.maps else "maps"
        learned = [*ids, *(others if predicted else ())]
        also = f", labels that a network predicted for {len(others)}" if predicted else ""
        also += f" and on {len(others)} unlabeled images" if UNLABELED in needs else ""
        return Training(
            ids=[*dict.fromkeys([*ids, *others, *taught_by])],
            digest=digest([*ids, "", *others] if others else ids),
            description=f"{self.name}: trains on {', '.join(AGAINST[t.name] for t in targets)} of {len(ids)} images"
            f"{also}; {len(val.ids)} val images scored against their {AGAINST[val.select_on]}",
            val=val,
            labels={kinds[target.name]: len(ids) for target in targets},
            streams=partial(self._streams, dataset, targets, learned, others if UNLABELED in needs else []),
        )

    def split(self, name: str) -> Split:
        dataset = self._dataset()
        missing = f"{self.root} has no {name} images; list them in {name}.txt, or set data.protocol=clean"
        return self._split(dataset, name, chosen_split(dataset.splits(), name, missing), ())

    def predictor(self, module: "nn.Module") -> Predictor:
        """Return the module itself, since images are resized, not cropped; the largest components if asked."""
        from fovea.supervision.largest import largest_if_asked

        return largest_if_asked(module, vars(self))

    @classmethod
    def predict(
        cls, data: Mapping[str, Any], module: "nn.Module", device: "torch.device", request: PredictRequest
    ) -> tuple[int, dict[str, str]]:
        from fovea.data.images.predict import FromPixels, predict

        return predict(data, FromPixels(data, module, device), request)

    def _dataset(self) -> Folder:
        return folder_of(vars(self))(root=self.root)

    def _targets(
        self, dataset: Folder, needs: Collection[str], predicted: Predicted | None = None, unlabeled: Sequence[str] = ()
    ) -> list[Target]:
        mask = partial(Mask, predicted=predicted, unlabeled=unlabeled if predicted else ())
        served: dict[str, Callable[[Folder], Target]] = {Mask.name: mask, PseudoMask.name: self._pseudo_mask}
        if unknown := sorted({*needs} - {*served, UNLABELED}):
            lacks = f"which data={self.name} does not have (it has {', '.join([*served, UNLABELED])})"
            fix = "choose another supervision=… or data=…"
            raise ValueError(f"supervision trains on {first_few(unknown)}, {lacks}; {fix}")
        return [served[name](dataset) for name in sorted(needs) if name in served]

    def _pseudo_mask(self, dataset: Folder) -> PseudoMask:
        if (store := self._store()) is None:
            raise ValueError("store is not given; run fovea-prepare and give its store")
        made_from, used = self._labels, weights(self.maps["refine"]) if self.maps else None
        return PseudoMask(store, self._parameters(), self.select_threshold, made_from, dataset.image_path, used)

    @cached_property
    def _labels(self) -> str | None:
        """The file or folder of labels that maps are compared with, if it is here; a store is also used without it."""
        labels: str | None = self.maps["labels"].get("path") if self.maps else None
        if labels is None or Path(labels).expanduser().exists():
            return labels
        log.warning("labels.path=%s does not exist, so it is not checked that the store was made from it", labels)
        return None

    def _store(self) -> Store | None:
        if not self.maps or not self.maps["store"]:
            return None
        path = store_path(self.maps["store"], self.maps["labels"].get("path"))
        return Store(path, partial(prepare_command, vars(self)))

    def _parameters(self) -> dict[str, Any]:
        return parameters(self.maps["labels"], self.maps["refine"], vars(self)) if self.maps else {}

    def _refined_by(self, dataset: Folder, splits: Mapping[str, list[str]]) -> list[str]:
        """Return the ids of the images of the network that refined the maps; warn of patients of val and test."""
        store = self._store()
        ids = store.manifest.get("trained_on", []) if store else []
        for split in ("val", "test"):
            if shared := of_patients(splits[split], ids, dataset.patient):
                few = f"patients of {len(shared)} of {len(splits[split])} {split} images ({first_few(shared, 2)})"
                log.warning("store: its maps were refined by a network trained on %s; scores there are too good", few)
        return [*ids]

    def _split(self, dataset: Folder, name: str, ids: list[str], needs: Collection[str]) -> Split:
        """Check the images of a split, and what they are scored against."""
        dataset.check(ids, masks=False)
        scored = self.select_on
        if scored == "auto":
            masked = Mask.name in needs or all(map(dataset.has_mask, ids))
            scored = "mask" if masked else "pseudo"
            if not masked:
                log.warning("%s images have no masks: scored against pseudo-masks (data.select_on=pseudo)", name)
        if scored == "pseudo" and self.classes > 1:
            raise ValueError(f"data.select_on=pseudo: a map has one class, but data.classes={self.classes}; add masks")
        [target] = self._targets(dataset, [scored])
        ids = target.check(ids, open_all=True)  # a damaged file would otherwise end the run at its first validation
        spacing, unit = dataset.common_spacing(ids)
        return Split(
            name=name,
            ids=ids,
            open=partial(self._samples, dataset, ids, target),
            select_on=target.name,
            patient=dataset.patient,
            spacing=spacing.__getitem__,
            unit=unit,
            panels=Panels(dataset, target, self._store(), self._parameters(), self.maps["labels"] if self.maps else {}),
            classes=dataset.names,
        )

    def _check_duplicates(self, dataset: Folder, splits: Mapping[str, list[str]]) -> None:
        """Report equal image files in two splits; `check_disjoint` has compared ids and patients."""
        if self.duplicates == "ignore":
            return
        present = {*dataset.ids}  # the images of a split that is not read may be absent
        paths = {split: [dataset.image_path(i) for i in ids if i in present] for split, ids in splits.items()}
        groups = same_files(paths)
        if not groups:
            return
        names = first_few([" = ".join(f"{path.name} in {split}" for split, path in group) for group in groups])
        message = f"{dataset.root}: the same image file in two splits, {len(groups)} times: {names}"
        if self.duplicates == "refuse":
            raise ValueError(f"{message}; remove them from one list, or set data.duplicates=warn")
        log.warning("%s; scores there are too good (data.duplicates=refuse stops here)", message)

    def _streams(
        self, dataset: Folder, targets: Sequence[Target], ids: Sequence[str], unlabeled: Sequence[str]
    ) -> dict[str, TrainingSamples]:
        from fovea.data.images.samples import ImageTraining, Resized

        augment = {name: instantiate(transform, f"data.augment.{name}") for name, transform in self.augment.items()}
        cache = instantiate(self.cache, "data.cache") if self.cache else None

        def samples(ids: Sequence[str], targets: Sequence[Target]) -> TrainingSamples:
            resized = Resized(dataset, ids, targets, self.size)
            return ImageTraining(resized, instantiate(self.normalize, "data.normalize"), augment, self.seed, cache)

        return {"labeled": samples(ids, targets)} | ({"unlabeled": samples(unlabeled, [])} if unlabeled else {})

    def _samples(self, dataset: Folder, ids: Sequence[str], target: Target) -> Samples:
        from fovea.data.images.samples import ImageSamples

        return ImageSamples(dataset, ids, target, self.size, instantiate(self.normalize, "data.normalize"))
