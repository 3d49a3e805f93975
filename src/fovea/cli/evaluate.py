"""`fovea-evaluate`: scores of a checkpoint on one split, or a comparison of such evaluations."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from fovea.runtime.app import Config, command
from fovea.runtime.files import read_mapping, refuse_foreign

log = logging.getLogger(__name__)


def passed_on(arguments: Sequence[str]) -> list[str]:
    """Return the arguments for Hydra, which cannot know the keys of the data of a checkpoint.

    Without a choice of `data`, single keys are added to an empty group; `score` merges it with that of the checkpoint.
    A choice of `labels` or `refine` is composed as usual, and `data.maps` refers to it.
    """
    if any(argument.startswith("data=") for argument in arguments):
        return list(arguments)
    chosen = [group for group in ("labels", "refine") if any(word.startswith(f"{group}=") for word in arguments)]
    maps = ("store=", *(f"{group}." for group in ("labels", "refine") if group not in chosen))
    added = [f"++data.maps.{argument}" if argument.startswith(maps) else argument for argument in arguments]
    added += [f"++data.maps.{group}=${{{group}}}" for group in chosen]
    return [f"++{argument}" if argument.startswith("data.") else argument for argument in added]


@command("evaluate", passed_on=passed_on)
def main(config: Config) -> None:
    """Score `checkpoint`, or compare the evaluations that `compare` names; both write into `out`."""
    if (config["checkpoint"] is None) == (config["compare"] is None):
        raise ValueError("set either checkpoint=FILE, to evaluate it, or 'compare=[RUN,RUN]', to compare evaluations")
    if config["compare"] is None:
        score(config)
    else:
        compare(config)


def score(config: Config) -> None:
    """Write an evaluation into `out`, and for the report what the checkpoint was trained with."""
    from omegaconf import OmegaConf

    from fovea.engine.checkpoint import load_all
    from fovea.engine.evaluate import evaluate, headline
    from fovea.report.runs import TRAINED
    from fovea.runtime.bounds import check_values
    from fovea.runtime.config import instantiate
    from fovea.runtime.errors import first_few
    from fovea.runtime.files import write_text
    from fovea.runtime.processes import pick
    from fovea.runtime.record import checkpoint_files

    check_values({"allow_training_images": bool, "metrics": Mapping[str, Any] | None}, config, "")
    checkpoints, device = checkpoint_files(config["checkpoint"]), pick(config["device"])
    (module, trained, ids, _), networks = load_all(checkpoints, device)
    checkpoint = checkpoints[0]
    config = config | {"metrics": {**(trained.get("metrics") or {}), **(config["metrics"] or {})}}
    out = folder_of(config, trained, checkpoints)
    config = config | {"data": data_of(config.get("data") or {}, trained["data"], checkpoint)}
    source = instantiate(config["data"], "data")
    split = source.split(config["split"])
    seen = sorted({*split.ids} & {*ids})
    if seen and not config["allow_training_images"]:
        few = f"{len(seen)} of these {len(split.ids)} images ({first_few(seen, 2)})"
        fix = "choose another split, or set allow_training_images=true"
        [by, *_] = [path for path, each in zip(checkpoints, networks, strict=True) if {*seen} & {*each.ids}]
        raise ValueError(f"split={split.name}: {by} was trained on {few}; {fix}")
    run = Path(config["run_dir"])
    predictor = source.predictor(instantiate(config["tta"], "tta")(module))
    write_text(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    write_text(run / TRAINED, OmegaConf.to_yaml(OmegaConf.create(joined([network.config for network in networks]))))
    summary, _ = evaluate(predictor, source, split, config, ", ".join(map(str, checkpoints)), seen, device, out)
    log.info("%s", headline(summary, out))


def joined(values: Sequence[Any]) -> Any:
    """Return configurations as one: a value that differs is a text of all of them, e.g. `0 + 1 + 2`."""
    if all(isinstance(value, Mapping) for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: joined([value.get(key) for value in values]) for key in keys}
    if all(value == values[0] for value in values):
        return values[0]
    return " + ".join(dict.fromkeys(map(str, values)))


def folder_of(config: Config, trained: Mapping[str, Any], checkpoints: Sequence[Path]) -> Path:
    """Return `out`, or the default: in the run of the checkpoint, where `compare=` and `fovea-report` look.

    With other keys, another checkpoint of the run or several checkpoints, the default is `run_dir`: the report finds it
    there as a run of its own.
    """
    from fovea.engine.evaluate import FILES

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


def data_of(given: Mapping[str, Any], trained: Mapping[str, Any], checkpoint: Path) -> Config:
    """Return the group `data` of an evaluation: the group or single keys `given`, the others as `trained` with.

    Of a chosen group, only the keys of the network are those of the checkpoint. A ValueError if the checkpoint does not
    name its data, or the data do not fit its network.
    """
    from inspect import signature

    from omegaconf import OmegaConf

    from fovea.runtime.config import locate, plain

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


def _moved(trained: Mapping[str, Any], root: str | None) -> Config:
    """Return the group of a checkpoint; files of labels below its root are those below the new root."""
    data = deepcopy(dict(trained))
    for group in (data.get("gaze"), (data.get("maps") or {}).get("labels")):
        if root and group and group.get("path") and Path(group["path"]).is_relative_to(data["root"]):
            group["path"] = str(Path(root) / Path(group["path"]).relative_to(data["root"]))
    return data


def compare(config: Config) -> None:
    """Write `comparison.csv`, `comparison.md` and `comparison.json` into `out`; needs neither torch nor data."""
    from fovea.report.comparison import Alpha, Resamples, compare_runs, markdown, note, refuse_others, write_comparison
    from fovea.report.evaluations import read_named
    from fovea.runtime.bounds import check_values

    check_values({"compare_alpha": Alpha, "compare_resamples": Resamples}, config, "")
    column, out = str(config["compare_on"]), Path(config["out"] or config["run_dir"])
    refuse_others(out, "comparison")
    runs = read_named(config["compare"], config["split"], column)
    comparison = compare_runs(runs, column, config["compare_alpha"], config["compare_resamples"], config["seed"])
    write_comparison(comparison, out)
    log.info("%s\n\n%s\n%s", markdown(comparison), note(comparison), out)


if __name__ == "__main__":
    main()
