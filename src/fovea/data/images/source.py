"""Images and their masks or maps: two dimensions, one square size for the network."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fovea.data.images.files import image_files
from fovea.data.images.folder import Folder
from fovea.data.images.plan import Plan, evaluation_plan, make_plan
from fovea.data.parameters import Parameters
from fovea.data.source import Read
from fovea.runtime.config import instantiate, locate

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fovea.data.images.held_out import ImageSplit
    from fovea.engine.datamodule import DataModule


def folder_of(data: Mapping[str, Any]) -> Callable[..., Folder]:
    """Factory of the data set of images that the group `data` describes, for the commands about gaze.

    Raises:
        ValueError: it is one of another kind.
    """
    kind = locate(data["dataset"]["_target_"], "data.dataset._target_")
    if not issubclass(kind, Folder):
        raise ValueError(f"data={data['name']} has no images to look at; gaze goes with data=kvasir, folder, …")
    factory: Callable[..., Folder] = instantiate(data["dataset"])
    return factory


class Images:
    """Any torch-free data set of images; what each key means stands in `configs/data/base.yaml`.

    Raises:
        ValueError: a number makes no sense.
    """

    of_model: ClassVar[tuple[str, ...]] = ("channels", "classes", "normalize", "size")

    def __init__(
        self,
        name: str,
        root: str,
        dataset: Mapping[str, Any],
        channels: int,
        classes: int,
        size: int,
        batch_size: int,
        num_workers: int,
        drop_last: bool,
        fraction: float,
        protocol: str,
        select_on: str,
        select_threshold: float,
        normalize: Mapping[str, Any],
        augment: Mapping[str, Any],
        seed: int,
        maps: Mapping[str, Any],
        gaze: Mapping[str, Any] | None = None,
        cache: Mapping[str, Any] | None = None,
        duplicates: str = "warn",
        fold: Sequence[int] | None = None,
    ) -> None:
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"data.size={size} is not possible; give a whole number from 1 on")
        # other groups read channels, protocol, fold and gaze by interpolation
        self.name, self.root, self.dataset, self.classes = name, root, dataset, classes
        self.size, self.normalize, self.augment, self.cache = size, normalize, augment, cache
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed
        self.fraction, self.duplicates, self.maps = fraction, duplicates, maps
        self.select_on, self.select_threshold = select_on, select_threshold

    def plan(self, needs: Collection[str]) -> Plan:
        """See `fovea.data.images.plan.make_plan`."""
        rest = (self.fraction, self.select_on, self.seed, self.duplicates)
        return make_plan(instantiate(self.dataset), self.root, needs, self.maps["store"], self._parameters(), *rest)

    def split_plan(self, split: str) -> Plan:
        """See `fovea.data.images.plan.evaluation_plan`."""
        store, parameters = self.maps["store"], self._parameters()
        return evaluation_plan(instantiate(self.dataset), self.root, split, self.select_on, store, parameters)

    def _parameters(self) -> dict[str, Any]:
        return Parameters.of(self.maps["labels"], self.maps["refine"]).flat()

    def describe(self, plan: Plan) -> str:
        """One line on what is trained on, and what val is scored against."""
        left_out = f" ({len(plan.without_fixations)} without fixations left out)" if plan.without_fixations else ""
        return (
            f"{self.name}: trains on {', '.join(sorted(plan.needs))} of {len(plan.train)} images{left_out}; "
            f"{len(plan.val)} val images scored against their {plan.select_on} files"
        )

    def module(self, plan: Plan) -> "DataModule":
        """Loaders of resized and augmented images, and of whole ones to validate on."""
        from fovea.data.images.samples import EvaluationSamples, TrainingSamples
        from fovea.engine.datamodule import ALONE, DataModule

        normalize = instantiate(self.normalize)
        augment = {name: instantiate(each) for name, each in self.augment.items()}
        cache = instantiate(self.cache) if self.cache else None
        training = TrainingSamples(plan, self.size, self.classes, normalize, augment, self.seed, cache)
        validation = EvaluationSamples(plan, plan.val, self.size, normalize, self.select_threshold)
        rest = (self.batch_size, self.num_workers, self.drop_last, self.seed)
        return DataModule(plan, {ALONE: training}, validation, *rest)

    def held_out(self, plan: Plan, split: str) -> "ImageSplit":
        """The images of a split, with the gaze on them where a store is in use."""
        from fovea.data.images.held_out import ImageSplit

        normalize, labels = instantiate(self.normalize), self.maps["labels"]
        return ImageSplit(
            plan, plan.split(split), self.size, normalize, self.select_threshold, labels["path"], labels["dose"]
        )

    def whole(self, module: "nn.Module") -> Read:
        """The module itself: images are resized, not cut."""
        return module

    @classmethod
    def predict(
        cls, trained: Mapping[str, Any], module: "nn.Module", source: Path, out: Path, device: "torch.device"
    ) -> tuple[int, dict[str, str]]:
        """Masks and overlays of a folder of images; see `fovea.data.images.predict.predict`."""
        from fovea.data.images.predict import predict

        kind = locate(trained["dataset"]["_target_"], "checkpoint: data.dataset._target_")
        if not issubclass(kind, Folder):
            raise ValueError(
                f"checkpoint: {kind.__name__} is no data set of images; give a file that fovea-train wrote"
            )
        images = image_files(source, kind.image_suffixes)
        decode = partial(kind.decode, channels=trained["channels"])
        normalize = instantiate(trained["normalize"])
        return len(images), predict(module, images, decode, trained["size"], normalize, device, out)
