"""What maps are made with: the parts that make them, their parameters, the path of their store, and the command."""

import shlex
from collections.abc import Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fovea.runtime.bounds import Count, check_values
from fovea.runtime.command_line import words
from fovea.runtime.config import config_folder, flat, instantiate, plain
from fovea.runtime.files import sha256
from fovea.runtime.help import own_folders
from fovea.runtime.record import digest_of_weights

NOT_BUILT = ("checkpoint", "folder", "name", "round", "thresholds")
"""Keys of `labels` and `refine` that are not arguments of their constructors."""

_NOT_IN_MAPS = ("folder", "name", "network.checkpoint", "path", "thresholds")  # keys of `labels` and `refine`
_NOWHERE_IN_MAPS = ("_target_", "device")  # also further below


def built(group: Mapping[str, Any], key: str) -> Any:
    """Return the label or the refiner that the group `labels` or `refine` describes; errors name keys under `key`."""
    check_values({"round": Count}, group, key)
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
        values |= {f"{group}.{key}": value for key, value in _in_maps(config)}
    if values.get("labels.fuse") == "mean":
        del values["labels.fuse"]
    # 70 and 70.0 are the same parameter and must give the same manifest.
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in sorted(values.items())
    }


def weights(refine: Mapping[str, Any]) -> str | None:
    """Return the hash of the files of a refiner's network, as the manifest has it; None if it has none or lacks one."""
    given = refine.get("checkpoint") or refine.get("weights")
    return None if given in (None, "packaged") else digest_of_weights(given)


def _in_maps(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of `labels` or `refine` that maps depend on."""
    for key, value in flat(config):
        if key not in _NOT_IN_MAPS and key.rpartition(".")[2] not in _NOWHERE_IN_MAPS:
            yield key, value


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


def prepare_command(data: Mapping[str, Any], store: str | Path) -> str:
    """Return the line for a shell that makes the store of a group `data`; keys with their default are left out.

    A choice of yours needs its folder: that of this command, DIR if there is none.
    """
    keys, gaze = data_keys(data)
    labels, refine = data["maps"]["labels"], data["maps"]["refine"]
    if labels.get("path") is not None:
        keys["labels.path"] = labels["path"]
    folder: list[str] = []
    for group, config, choice in (("labels", labels, "gaze"), ("refine", refine, "lattice")):
        if config["name"] != choice:
            keys[group] = config["name"]
        if not (chosen := _yaml(group, config["name"])):
            folder = ["--config-dir", str([*own_folders(), "DIR"][0])]
        default = {
            key: gaze.get(key) if str(value).startswith("${oc.select:data.gaze.") else value
            for key, value in flat(chosen)
        }
        keys |= {f"{group}.{key}": value for key, value in _in_maps(config) if default.get(key) != value}
    return shlex.join(["fovea-prepare", *folder, *words({**keys, "store": store})])


def data_keys(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys that choose the data set, and the defaults of `data.gaze` under them."""
    name, target = data["name"], data["dataset"]["_target_"]
    chosen = _yaml("data", str(name))
    if chosen and chosen["dataset"]["_target_"] == target:
        keys = {"data": name}
    else:
        chosen = _yaml("data", "folder")
        keys = {"data": "folder", "data.name": name}
        if chosen["dataset"]["_target_"] != target:
            keys["data.dataset._target_"] = target
    default = {**_yaml("data", "base"), **chosen}
    keys["data.root"] = data["root"]
    changed = [key for key in ("channels", "range", "exif") if data.get(key, default[key]) != default[key]]
    keys |= {f"data.{key}": data[key] for key in changed}
    return keys, {**_yaml("data", "base")["gaze"], **default["gaze"]}


def _yaml(group: str, choice: str) -> dict[str, Any]:
    """Return the YAML of a choice with its interpolations; empty if there is none."""
    path = config_folder() / group / f"{choice}.yaml"
    return plain(OmegaConf.load(path), resolve=False) if path.is_file() else {}
