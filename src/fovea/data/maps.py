"""What maps are made with: the parts that make them, their parameters, and the default path of their store."""

from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from fovea.runtime.config import flat, instantiate
from fovea.runtime.files import sha256

NOT_BUILT = ("checkpoint", "folder", "name", "round", "thresholds")
"""Keys of `labels` and `refine` that are not arguments of their constructors."""

_NOT_IN_MAPS = ("folder", "name", "network.checkpoint", "path", "thresholds")  # keys of `labels` and `refine`
_NOWHERE_IN_MAPS = ("_target_", "device")  # also further below


def built(group: Mapping[str, Any], key: str) -> Any:
    """Return the label or the refiner that the group `labels` or `refine` describes; errors name keys under `key`."""
    return instantiate({name: value for name, value in group.items() if name not in NOT_BUILT}, key)


def parameters(
    labels: Mapping[str, Any], refine: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return everything in the configuration groups that maps depend on, by dotted key; of `data`, how images are read.

    Keys of `data`, and `labels.fuse`, are left out at their defaults, since older stores do not have them.
    """
    values = {"labels": labels["name"], "refine": refine["name"]}
    for key, default in (("range", None), ("exif", "ignore")):
        if data is not None and data.get(key, default) != default:
            values[f"data.{key}"] = data[key]
    for group, config in (("labels", labels), ("refine", refine)):
        values |= {
            f"{group}.{key}": value
            for key, value in flat(config)
            if key not in _NOT_IN_MAPS and key.rpartition(".")[2] not in _NOWHERE_IN_MAPS
        }
    if values.get("labels.fuse") == "mean":
        del values["labels.fuse"]
    # 70 and 70.0 are the same parameter and must give the same manifest.
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in sorted(values.items())
    }


def store_path(path: str, labels: str | None) -> Path:
    """Return the path of a store, with `{labels}` replaced by the start of the hash of the labels.

    If the labels are not here, it is the only store whose name fits, e.g. on a machine that has only the store.
    With none or several, `unknown` takes the place of the hash.
    """
    template = Path(path).expanduser()
    if "{labels}" not in template.name:
        return template
    file = Path(labels).expanduser() if labels is not None else None
    if file is not None and file.exists():
        return template.with_name(template.name.replace("{labels}", sha256(file)[:8]))
    before, after = map(escape, template.name.split("{labels}", 1))
    fitting = list(template.parent.glob(f"{before}{8 * '[0-9a-f]'}{after}"))
    return fitting[0] if len(fitting) == 1 else template.with_name(template.name.replace("{labels}", "unknown"))
