"""`fovea-evaluate`: scores of a checkpoint on one split, or a comparison of such evaluations."""

import logging
from pathlib import Path

from fovea.runtime.entry import Config, command
from fovea.runtime.errors import FoveaError

log = logging.getLogger(__name__)


@command("evaluate")
def main(config: Config) -> None:
    """Score `checkpoint`, or compare the evaluations that `compare` names; either writes into `out`."""
    if (config["checkpoint"] is None) == (config["compare"] is None):
        given = "checkpoint is not given" if config["compare"] is None else "checkpoint and compare are both given"
        raise FoveaError(f"{given}: checkpoint=FILE evaluates one, 'compare=[RUN,RUN]' compares evaluations")
    if config["compare"] is None:
        score(config)
    else:
        compare(config)


def score(config: Config) -> None:
    """Write `per_image.csv`, `summary.json`, `thresholds.csv` and `contact_sheet.png` into `out`."""
    from fovea.checkpoint import load
    from fovea.evaluation import evaluate, headline, settings_of, split_plan
    from fovea.gaze.parameters import Parameters
    from fovea.runtime.device import pick
    from fovea.runtime.instantiate import instantiate

    parameters = Parameters.of(config["gaze"]).flat()
    plan = split_plan(config, config["split"], parameters)
    checkpoint, device = Path(config["checkpoint"]), pick(config["device"])
    module, trained_with = load(checkpoint, device)
    for key in ("channels", "classes"):
        if (own := trained_with["data"][key]) != config["data"][key]:
            raise FoveaError(f"data.{key}={config['data'][key]} but {checkpoint} has {own}; add data.{key}={own}")
    out = Path(config["out"])
    settings = settings_of(trained_with, config)
    module = instantiate(config["tta"])(module)
    summary = evaluate(module, plan, config["split"], settings, device, checkpoint, out)
    log.info("%s", headline(summary, out))


def compare(config: Config) -> None:
    """Write `comparison.csv`, `comparison.md` and `comparison.json` into `out`; neither torch nor data are needed."""
    from fovea.comparison import compare, read_runs
    from fovea.report.comparison_table import note, table, write_comparison

    column, out = config["compare_on"], Path(config["out"])
    runs = read_runs(config["compare"], config["split"], column)
    found = compare(runs, column, config["compare_alpha"], config["compare_resamples"], config["seed"])
    write_comparison(found, out)
    log.info("%s\n\n%s\n%s", table(found), note(found), out)


if __name__ == "__main__":
    main()
