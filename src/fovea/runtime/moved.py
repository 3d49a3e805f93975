"""Names of earlier versions: classes and keys that moved, and the upgrade of a configuration that still has them."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

# Checkpoints carry these paths as `_target_`.
CLASSES = {
    "fovea.callbacks.last.Last": "fovea.engine.callbacks.last.Last",
    "fovea.callbacks.preemption.Preemption": "fovea.engine.callbacks.preemption.Preemption",
    "fovea.data.folder.Folder": "fovea.data.images.folder.Folder",
    "fovea.data.kvasir.Kvasir": "fovea.data.images.kvasir.Kvasir",
    "fovea.data.nci_isbi.NciIsbi": "fovea.data.images.nci_isbi.NciIsbi",
    "fovea.data.synthetic.Synthetic": "fovea.data.images.synthetic.Synthetic",
    "fovea.data.volumes.synthetic_pairs.SyntheticPairs": "fovea.data.volumes.synthetic.SyntheticPairs",
    "fovea.kinds.images.Images": "fovea.data.images.source.Images",
    "fovea.kinds.volumes.Volumes": "fovea.data.volumes.source.Volumes",
    "fovea.losses.dice_cross_entropy.DiceCrossEntropy": "fovea.losses.segmentation.DiceCrossEntropy",
    "fovea.metrics.scoring.Scoring": "fovea.metrics.summary.Scoring",
    "fovea.models.early_fusion.EarlyFusion": "fovea.models.by_modality.EarlyFusion",
    "fovea.models.each_modality.EachModality": "fovea.models.by_modality.EachModality",
    "fovea.runtime.loggers.csv": "fovea.engine.loggers.MetricsTable",
    "fovea.engine.loggers.csv": "fovea.engine.loggers.MetricsTable",
    "fovea.runtime.loggers.wandb": "fovea.engine.loggers.wandb",
    "fovea.schedules.constant": "fovea.engine.schedules.constant",
    "fovea.schedules.cosine_per_epoch": "fovea.engine.schedules.cosine_per_epoch",
    "fovea.schedules.cosine_with_warmup": "fovea.engine.schedules.cosine_with_warmup",
    "fovea.schedules.polynomial": "fovea.engine.schedules.polynomial",
    "fovea.supervision.flips.MeanOverFlips": "fovea.supervision.tta.MeanOverFlips",
    "fovea.supervision.gaze.Gaze": "fovea.supervision.multi_level.MultiLevel",
    "fovea.supervision.labeled_only.LabeledOnly": "fovea.supervision.full.Full",
    "fovea.supervision.multi_level.Gaze": "fovea.supervision.multi_level.MultiLevel",
}
"""New path of each class by its old path."""

KEYS = {
    "format.column": "format.columns.image",
    "format.surface": "format.unit",
    "gaze": "labels",
    "gaze.crf": "refine",
    "gaze.crf.backend": "refine.name",
    "gaze.crf_name": None,
    "gaze.fixations": "labels.path",
    "gaze.quality": "quality",
    "gaze.quality_masks": "quality_masks",
    "gaze.shard": "shard",
    "gaze.shards": "shards",
    "gaze.store": "store",
    "gaze.workers": "workers",
    "supervision.deep": None,
    "supervision.regularizer": None,
}
"""New key of each old one, or of all keys below it; None if the key was removed."""

_NETWORK = "backbone.network._target_=segmentation_models_pytorch"
CHOICES = {
    "format.surface=image": ("format.unit=fraction",),
    "gaze.quality=gaze": ("quality=labels",),
    "quality=gaze": ("quality=labels",),
    "backbone=smp_deeplabv3plus": ("backbone=smp", f"{_NETWORK}.DeepLabV3Plus"),
    "backbone=smp_segformer": ("backbone=smp", f"{_NETWORK}.Segformer"),
    "backbone=smp_unet": ("backbone=smp",),
    "backbone=smp_unetplusplus": ("backbone=smp", f"{_NETWORK}.UnetPlusPlus"),
    "sweep=gaze_dose": ("sweep=dose",),
}
"""What to write for an old choice of a group, or an old value of a key."""

_CRF = ("compat", "sxy", "srgb", "iterations")
REFINERS = {
    "lattice": ("densecrf.lattice.DenseCrf", (*_CRF, "tolerance")),
    "torch": ("densecrf.lattice_torch.DenseCrf", (*_CRF, "tolerance")),
    "pydensecrf": ("densecrf.pydensecrf.DenseCrf", _CRF),
    "guided": ("guided.Guided", ("radius", "epsilon")),
    "grabcut": ("grabcut.GrabCut", ("iterations", "background", "foreground")),
    "none": ("unrefined.Unrefined", ()),
}
"""Class below `fovea.prepare.refiners` of each old `gaze.crf.backend`, and the keys of `gaze.crf` that it used."""


def new_key(key: str) -> str | None:
    """Return the present name of a dotted key; None if it was removed."""
    above = key
    while above not in KEYS:
        above, dot, _ = above.rpartition(".")
        if not dot:
            return key
    new = KEYS[above]
    return None if new is None else new + key[len(above) :]


def refuse_old_overrides(overrides: Iterable[str]) -> None:
    """Refuse a command line with old keys or choices, and say what to write instead, quoted for a shell."""
    old, new = [], []
    for override in overrides:
        if override.startswith("-") or (words := _present(override)) == [override]:
            continue
        old.append(override)
        new += words
    if old:
        instead = f"write {shlex.join(new)} instead" if new else "leave it out"
        raise ValueError(f"{shlex.join(old)}: old name; {instead}")


def _present(override: str) -> list[str]:
    """Return what to write for one override: itself, its new words, or nothing if it was removed."""
    key, equals, value = override.partition("=")
    if key == "gaze":  # data=… brings what this group had
        return []
    if override in CHOICES:
        return list(CHOICES[override])
    choices = [f"{key}={choice}" for choice in value.split(",")]
    if any(choice in CHOICES for choice in choices):
        value = ",".join(CHOICES.get(choice, (choice,))[0].partition("=")[2] for choice in choices)
    name = key.lstrip("+~")
    present = "refine" if name == "gaze.crf.backend" else new_key(name)  # a choice of a group now
    return [] if present is None else [key[: len(key) - len(name)] + present + equals + value]


def refuse_old_keys(keys: Iterable[str]) -> None:
    """Refuse old keys in a configuration, e.g. of an experiment of your own."""
    for key in keys:
        if (present := new_key(key)) != key:
            raise ValueError(f"{key}: old key in the configuration; {f'write {present}' if present else 'remove it'}")


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a checkpoint under the present names; a ValueError if it uses what was removed."""
    present = {key: _with_new_classes(value) for key, value in config.items()}
    if isinstance(supervision := present.get("supervision"), dict):
        for key in ("deep", "regularizer"):
            if supervision.pop(key, None):
                raise ValueError(f"supervision.{key} was removed; use an older version for this checkpoint")
    loss = present.get("loss")
    if isinstance(loss, dict) and loss.get("_target_") == "fovea.losses.segmentation.DiceCrossEntropy":
        for key in ("softmax", "to_onehot_y", "include_background"):  # now of every such loss
            loss.pop(key, None)
    if "gaze" not in present:
        return present
    gaze = dict(present.pop("gaze"))
    crf = gaze.get("crf") or {}
    if "crf" in gaze:  # volumes have thresholds alone
        name, folder = crf["backend"], "fovea.prepare.refiners."
        target, arguments = REFINERS[name]
        present["store"] = gaze["store"]
        present["labels"] = {"_target_": "fovea.prepare.labels.gaze.Gaze", "name": "gaze", "path": gaze["fixations"]}
        present["labels"] |= {key: gaze[key] for key in ("sigma", "canvas", "min_duration", "dose", "thresholds")}
        present["refine"] = {"_target_": folder + target, "name": name} | {key: crf[key] for key in arguments}
        present["data"]["maps"] = {key: present[key] for key in ("store", "labels", "refine")}
    return present


def _with_new_classes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_new_classes(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_with_new_classes(below) for below in value]
    return CLASSES.get(value, value) if isinstance(value, str) else value
