"""The command line of `fovea-prepare` that makes a store, as error messages print it."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fovea.runtime.config import config_folder

_PLAIN = re.compile(r"(?=.*[A-Za-z])[A-Za-z_./~][\w./~+-]*|-?\d+(\.\d+)?|", re.ASCII)  # Hydra reads it without quotes
_NAMES = ("_target_", "folder", "name", "path", "thresholds")


def prepare_command(data: Mapping[str, Any], store: str | Path) -> str:
    """Return the line for a shell that makes the store of a group `data`; keys with their default are left out."""
    keys, gaze = _data(data)
    labels, refine = data["maps"]["labels"], data["maps"]["refine"]
    if labels.get("path") is not None:
        keys["labels.path"] = labels["path"]
    for group, config, choice in (("labels", labels, "gaze"), ("refine", refine, "lattice")):
        if config["name"] != choice:
            keys[group] = config["name"]
        default = {
            key: gaze.get(key) if str(value).startswith("${oc.select:data.gaze.") else value
            for key, value in _yaml(group, config["name"]).items()
        }
        changed = {key: value for key, value in config.items() if key not in _NAMES and default.get(key) != value}
        keys |= {f"{group}.{key}": value for key, value in changed.items()}
    return " ".join(["fovea-prepare", *(_override(key, value) for key, value in {**keys, "store": store}.items())])


def _data(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
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
    content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False) if path.is_file() else {}
    return content


def _override(key: str, value: object) -> str:
    text = str(value)
    if value is None or isinstance(value, bool):
        text = "null" if value is None else text.lower()
    elif isinstance(value, str | Path) and (not _PLAIN.fullmatch(text) or text.lower() in ("true", "false", "null")):
        escaped = text.replace("'", "\\'")
        text = f"'{escaped}'"
    return shlex.quote(f"{key}={text}")
