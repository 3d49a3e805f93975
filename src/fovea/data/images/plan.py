"""Which images train, validate and test, and what they are scored against; checked without torch."""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.data.images.folder import Folder
from fovea.data.splits import carve, same_files
from fovea.data.store import Store
from fovea.runtime.errors import first_few

SERVED = ("mask", "pseudo")  # the targets that a data set of images can give
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The outcome of all checks on images: which ids go where and which files may be opened for them."""

    dataset: Folder
    train: list[str]
    val: list[str]
    test: list[str]
    needs: frozenset[str]  # targets that training opens
    select_on: str  # "mask" or "pseudo": what val is scored against
    store: Store | None
    without_fixations: list[str]  # ids that training leaves out

    @property
    def digest(self) -> str:
        """A short name for the list of training images."""
        return digest(self.train)

    def split(self, name: str) -> list[str]:
        """The ids of `train`, `val` or `test`.

        Raises:
            ValueError: another name, or a split without images.
        """
        missing = f"{self.dataset.root} has no {name} images; list them in {name}.txt or set data.protocol=clean"
        return named({"train": self.train, "val": self.val, "test": self.test}, name, missing)


def make_plan(
    dataset: Callable[..., Folder],
    root: str,
    needs: Collection[str],
    store: str | None,
    parameters: dict[str, Any],
    fraction: float,
    select_on: str,
    seed: int,
    duplicates: str = "warn",
) -> Plan:
    """Read the folder and the store's manifest and decide who goes where.

    Args:
        dataset: Factory of the torch-free data set, called with `root`.
        root: Folder of the data set.
        needs: Targets that the supervision mode trains on.
        store: Folder of the pseudo-mask store, opened only where a target asks for it.
        parameters: What the store must have been made with (`fovea.data.parameters.Parameters.flat`).
        fraction: Part of the training patients (images, where there are none) to use, drawn by `seed`.
        select_on: `auto` (the masks where the val images have them, else pseudo-masks), `mask` or `pseudo`.
        seed: Seed of that draw.
        duplicates: What equal files in two splits lead to: `warn`, `refuse` or `ignore`.

    Raises:
        ValueError: the data cannot serve this mode, or a value is out of range; see the message.
    """
    needs = frozenset(needs)
    if unknown := sorted(needs - set(SERVED)):
        raise ValueError(
            f"supervision trains on {first_few(unknown)}, which this data set does not serve "
            f"(it has {', '.join(SERVED)}); choose another supervision=… or data=…"
        )
    if not 0 < fraction <= 1:
        raise ValueError(f"data.fraction={fraction}: give a part of the training images in (0, 1]")
    data = dataset(root=root)
    splits = data.splits()
    if not splits["train"]:
        raise ValueError(f"data.root: {root} has no training images; add some or mend train.txt")
    data.check(splits["train"], masks="mask" in needs)
    data.check(splits["val"], masks=select_on == "mask")
    _look_for_duplicates(data, splits, duplicates)
    select_on = _select_on(select_on, data, splits["val"], needs)
    opened = _open_store(store, parameters) if "pseudo" in needs or (select_on == "pseudo" and splits["val"]) else None
    train, without = _with_map(splits["train"], opened if "pseudo" in needs else None)
    if fraction < 1:
        _, train = carve(train, fraction, seed, data.patient)  # a smaller fraction is a part of a larger one
    val, _ = _with_map(splits["val"], opened if select_on == "pseudo" else None)
    return Plan(data, train, val, splits["test"], needs, select_on, opened, without)


def evaluation_plan(
    dataset: Callable[..., Folder], root: str, split: str, select_on: str, store: str | None, parameters: dict[str, Any]
) -> Plan:
    """The plan of an evaluation of one split: nothing is trained on, so nothing but that split is checked.

    Raises:
        ValueError: the split is empty or lacks files that it is to be scored against.
    """
    data = dataset(root=root)
    splits = data.splits()
    whole = Plan(data, splits["train"], splits["val"], splits["test"], frozenset(), select_on, None, [])
    ids = whole.split(split)
    data.check(ids, masks=select_on == "mask")
    select_on = _select_on(select_on, data, ids, frozenset())
    opened = _open_store(store, parameters) if select_on == "pseudo" else _optional_store(store, parameters)
    ids, without = _with_map(ids, opened if select_on == "pseudo" else None)
    train, val, test = (ids if name == split else [] for name in ("train", "val", "test"))
    return Plan(data, train, val, test, frozenset(), select_on, opened, without)


def named(splits: Mapping[str, list[str]], name: str, missing: str) -> list[str]:
    """The ids of a split by its name.

    Raises:
        ValueError: another name; or, in the words of `missing`, a split without ids.
    """
    if name not in splits:
        raise ValueError(f"split={name} is not a split; choose {', '.join(splits)}")
    if not splits[name]:
        raise ValueError(f"split={name}: {missing}")
    return splits[name]


def digest(ids: Sequence[str]) -> str:
    """A short name for a list of ids."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def _look_for_duplicates(data: Folder, splits: dict[str, list[str]], choice: str) -> None:
    """Say where one image stands in two splits under different names; `check_disjoint` has seen to ids and patients."""
    if choice not in ("warn", "refuse", "ignore"):
        raise ValueError(f"data.duplicates={choice} is not a choice; choose warn, refuse or ignore")
    if choice == "ignore":
        return
    there = set(data.ids)  # the images of a split that is not read may be absent
    paths = {split: [data.image_path(name) for name in ids if name in there] for split, ids in splits.items()}
    found = same_files(paths)
    if not found:
        return
    named = first_few([" = ".join(f"{path.name} in {split}" for split, path in group) for group in found])
    count = f"{len(found)} images stand" if len(found) > 1 else "1 image stands"
    message = f"{data.root}: {count} in two splits under different names: {named}; scores there are too good"
    if choice == "refuse":
        raise ValueError(f"{message}: take them out of one list, or set data.duplicates=warn")
    log.warning("%s (data.duplicates=refuse would stop here, ignore would say nothing)", message)


def _select_on(choice: str, data: Folder, ids: list[str], needs: frozenset[str]) -> str:
    if choice not in ("auto", "mask", "pseudo"):
        raise ValueError(f"data.select_on={choice} is not a choice; choose auto, mask or pseudo")
    if choice != "auto":
        return choice
    masked = all(data.has_mask(image_id) for image_id in ids)
    if not masked and "mask" not in needs:
        log.warning("held-out images have no masks: scores are against their pseudo-masks (data.select_on=pseudo)")
    return "mask" if masked or "mask" in needs else "pseudo"


def _open_store(path: str | None, parameters: dict[str, Any]) -> Store:
    if path is None:
        raise ValueError("store is not given; run fovea-prepare and give its store")
    store = Store(Path(path))
    store.check(parameters)
    return store


def _optional_store(path: str | None, parameters: dict[str, Any]) -> Store | None:
    """The store for the contact sheet alone: without one, or with another's maps, the sheet has a column less."""
    try:
        return _open_store(path, parameters)
    except ValueError:
        return None


def _with_map(ids: list[str], store: Store | None) -> tuple[list[str], list[str]]:
    """Those that have a map and those that have none, if maps are asked for.

    Raises:
        ValueError: none has one, so the store is another data set's.
    """
    if store is None:
        return ids, []
    known = set(store.ids)
    kept = [image_id for image_id in ids if image_id in known]
    without = [image_id for image_id in ids if image_id not in known]
    if ids and not kept:
        raise ValueError(
            f"store: {store.path} has a map of none of these {len(ids)} images ({first_few(ids, 2)}); "
            "give the store of this data set or run fovea-prepare for it"
        )
    if without:
        log.warning("%d images have no pseudo-mask and are left out: %s", len(without), first_few(without))
    return kept, without
