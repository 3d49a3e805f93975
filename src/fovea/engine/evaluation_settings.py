"""The settings of an evaluation that its checkpoints decide: the data, and the folder of the results."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fovea.engine.evaluate import FILES
from fovea.runtime.config import locate, plain
from fovea.runtime.errors import first_few
from fovea.runtime.files import read_mapping, refuse_foreign


def data_of(given: Mapping[str, Any], trained: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Return the group `data` of an evaluation: the group or single keys `given`, the others as `trained` with.

    Of a chosen group, only the keys of the network are those of the checkpoint. A ValueError if the checkpoint does not
    name its data, or the data do not fit its network.
    """
    source = locate(trained["_target_"], "checkpoint: data._target_")
    chosen = "_target_" in given
    if chosen and given["_target_"] != trained["_target_"]:
        raise ValueError(f"data={given['name']} is not of the type that {checkpoint} was trained on; choose another")
    if not chosen and "root" not in trained:
        raise ValueError(f"{checkpoint} does not name the data it was trained on; add data=… data.root=…")
    if unknown := sorted(given.keys() - signature(source).parameters.keys() - {"_target_", "_recursive_"}):
        raise ValueError(f"data.{unknown[0]} is not a key; there are {', '.join(signature(source).parameters)}")
    for key in ("channels", "classes") if chosen else source.model_keys:
        if given.get(key) is not None and given[key] != trained.get(key):
            own = trained.get(key)
            raise ValueError(f"data.{key}={given[key]} but {checkpoint} has {own}; set data.{key}={own}")
    if chosen:
        return {**given, **{key: trained.get(key) for key in source.model_keys}}
    merged = plain(OmegaConf.merge(_moved(trained, given.get("root")), dict(given)), resolve=False)
    for group, choice in given.get("maps", {}).items():
        if isinstance(choice, Mapping) and "_target_" in choice:
            before = trained["maps"][group]  # has what the choice takes from the data set
            same = choice["_target_"] == before["_target_"]
            merged["maps"][group] = {
                key: before.get(key) if same and value is None else value for key, value in choice.items()
            }
    return merged


def check_classes(names: Sequence[str], trained: Sequence[str], checkpoint: Path) -> None:
    """Refuse data that give a class of the checkpoint another number; a name that only one of them has may be new."""
    if [name for name in trained if name in names and names.index(name) != trained.index(name)]:
        numbered = f"classes are {first_few(names)} in the order of their values, but {first_few(trained)}"
        raise ValueError(f"data: the {numbered} in {checkpoint}; renumber the masks in that order")


def _moved(trained: Mapping[str, Any], root: str | None) -> dict[str, Any]:
    """Return the group of a checkpoint; files of labels below its root are those below the new root."""
    data = deepcopy(dict(trained))
    for group in (data.get("gaze"), (data.get("maps") or {}).get("labels")):
        if root and group and group.get("path") and Path(group["path"]).is_relative_to(data["root"]):
            group["path"] = str(Path(root) / Path(group["path"]).relative_to(data["root"]))
    return data


def folder_of(config: Mapping[str, Any], trained: Mapping[str, Any], checkpoints: Sequence[Path]) -> Path:
    """Return `out`, or the default: in the run of the checkpoint, where `compare=` and `fovea-report` look.

    With other keys, another checkpoint of the run or several checkpoints, the default is `run_dir`: the report finds it
    there as a run of its own.
    """
    if config["out"] is not None:
        out = Path(config["out"])
        refuse_foreign(out, FILES, "summary.json", ("dice", "select_on"))
        return out
    checkpoint = checkpoints[0]
    below, run = Path("evaluate", config["split"]), checkpoint.parent.parent
    given = {key: value for key, value in (config.get("data") or {}).items() if key not in ("num_workers", "cache")}
    same_data = given in ({}, {"root": trained["data"].get("root")})
    scores = all(config[key] == (trained.get(key) or {}) for key in ("scoring", "metrics"))
    same = same_data and scores and not config["tta"].get("axes") and len(checkpoints) == 1
    summaries = map(read_mapping, (run / "evaluate").glob("*/summary.json"))
    made_with = {Path(summary.get("checkpoint", checkpoint)).name for summary in summaries}
    is_run = checkpoint.parent.name == "checkpoints" and (run / "provenance.json").is_file()
    return (run if same and is_run and made_with <= {checkpoint.name} else Path(config["run_dir"])) / below


def joined(values: Sequence[Any]) -> Any:
    """Return configurations as one: a value that differs is a text of all of them, e.g. `0 + 1 + 2`."""
    if all(isinstance(value, Mapping) for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: joined([value.get(key) for value in values]) for key in keys}
    if all(value == values[0] for value in values):
        return values[0]
    return " + ".join(dict.fromkeys(map(str, values)))
