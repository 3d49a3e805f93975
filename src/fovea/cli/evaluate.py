"""`fovea-evaluate`: scores of a checkpoint on one split, or a comparison of such evaluations."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fovea.runtime.app import Config, command

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
    from fovea.engine.evaluation_settings import check_classes, data_of, folder_of, joined
    from fovea.report.runs import TRAINED
    from fovea.runtime.bounds import check_values
    from fovea.runtime.config import instantiate
    from fovea.runtime.device import pick
    from fovea.runtime.errors import first_few
    from fovea.runtime.files import write_text
    from fovea.runtime.record import checkpoint_files

    check_values({"allow_training_images": bool, "metrics": Mapping[str, Any] | None}, config, "")
    checkpoints, device = checkpoint_files(config["checkpoint"]), pick(config["device"])
    (module, trained, ids, classes), networks = load_all(checkpoints, device)
    checkpoint = checkpoints[0]
    config = config | {"metrics": {**(trained.get("metrics") or {}), **(config["metrics"] or {})}}
    out = folder_of(config, trained, checkpoints)
    config = config | {"data": data_of(config.get("data") or {}, trained["data"], checkpoint)}
    source = instantiate(config["data"], "data")
    split = source.split(config["split"])
    check_classes(split.classes, classes, checkpoint)
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
