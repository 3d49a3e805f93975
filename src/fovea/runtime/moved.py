"""Names of earlier versions: classes and keys that moved, and the upgrade of a configuration that still has them."""

from collections.abc import Mapping
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
    "fovea.runtime.loggers.csv": "fovea.engine.loggers.csv",
    "fovea.runtime.loggers.wandb": "fovea.engine.loggers.wandb",
    "fovea.schedules.constant": "fovea.engine.schedules.constant",
    "fovea.schedules.cosine_per_epoch": "fovea.engine.schedules.cosine_per_epoch",
    "fovea.schedules.cosine_with_warmup": "fovea.engine.schedules.cosine_with_warmup",
    "fovea.schedules.polynomial": "fovea.engine.schedules.polynomial",
    "fovea.supervision.flips.MeanOverFlips": "fovea.supervision.tta.MeanOverFlips",
    "fovea.supervision.gaze.Gaze": "fovea.supervision.multi_level.Gaze",
}
"""New path of each class by its old path."""

REMOVED: dict[str, str] = {}
"""What to do instead, by the path of each removed class or the key that was removed."""


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of an old checkpoint with the present names; one of this version is returned as it is.

    Raises:
        ValueError: it names a class that was removed.
    """
    return {str(key): _upgraded(value) for key, value in config.items()}


def _upgraded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _upgraded(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_upgraded(below) for below in value]
    if isinstance(value, str) and value in REMOVED:
        raise ValueError(f"{value} was removed; {REMOVED[value]}")
    return CLASSES.get(value, value) if isinstance(value, str) else value
