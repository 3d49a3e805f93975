"""Which cases train, validate and test; checked without torch."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from fovea.data.images.plan import digest, named
from fovea.data.volumes.pairs import Pairs
from fovea.runtime.errors import first_few

SERVED = ("mask", "unlabeled")


@dataclass(frozen=True)
class VolumePlan:
    """The outcome of all checks on volumes: which cases go where."""

    dataset: Pairs
    train: list[str]  # labelled
    unlabeled: list[str]
    val: list[str]
    test: list[str]
    select_on: str = "mask"

    @property
    def digest(self) -> str:
        """A short name for the lists of training cases."""
        return digest([*self.train, "", *self.unlabeled])

    def split(self, name: str) -> list[str]:
        """The cases of `train`, `val` or `test`.

        Raises:
            ValueError: another name, or a split without cases.
        """
        missing = f"{self.dataset.path} lists no such cases; add some, or choose another split"
        return named({"train": self.train, "val": self.val, "test": self.test}, name, missing)


def make_plan(dataset: Callable[..., Pairs], root: str, needs: Collection[str]) -> VolumePlan:
    """Read the list, and the headers of all files that a training opens.

    Args:
        dataset: Factory of the list, called with `root`.
        root: Folder of the list.
        needs: `mask`, and `unlabeled` where the supervision learns from unlabelled cases too.

    Raises:
        ValueError: the data cannot serve this supervision; see the message.
    """
    if unknown := sorted(set(needs) - set(SERVED)):
        raise ValueError(
            f"supervision trains on {first_few(unknown)}, which volumes do not serve; choose supervision=cmc, "
            "labeled_only, mean_teacher or cross_pseudo"
        )
    data = dataset(root=root)
    splits = data.splits()
    if not splits["train"]:
        raise ValueError(f"{data.path}: no labelled case to train on; list some under training")
    if "unlabeled" in needs and not splits["unlabeled"]:
        raise ValueError(
            f"{data.path}: no unlabelled case; list some under unlabeled_training, set data.labeled_fraction, or "
            "choose supervision=labeled_only"
        )
    unlabeled = splits["unlabeled"] if "unlabeled" in needs else []
    data.check(splits["train"], masks=True)
    data.check(unlabeled, masks=False)
    data.check(splits["val"], masks=True)
    return VolumePlan(data, splits["train"], unlabeled, splits["val"], splits["test"])


def split_plan(dataset: Callable[..., Pairs], root: str, split: str) -> VolumePlan:
    """The plan of an evaluation of one split, of which alone the files are looked at.

    Raises:
        ValueError: the split is empty or lacks files that it is to be scored against.
    """
    data = dataset(root=root)
    splits = data.splits()
    plan = VolumePlan(data, splits["train"], [], splits["val"], splits["test"])
    data.check(plan.split(split), masks=True)
    return plan
