"""`fovea-evaluate`: scores of a checkpoint on one split, or a comparison of such evaluations."""

import logging
from pathlib import Path

from omegaconf import OmegaConf

from fovea.report.runs import TRAINED
from fovea.runtime.app import Config, command
from fovea.runtime.files import write_text

log = logging.getLogger(__name__)


@command("evaluate")
def main(config: Config) -> None:
    """Score `checkpoint`, or compare the evaluations that `compare` names; either writes into `out`."""
    if (config["checkpoint"] is None) == (config["compare"] is None):
        given = "checkpoint is not given" if config["compare"] is None else "checkpoint and compare are both given"
        raise ValueError(f"{given}: checkpoint=FILE evaluates one, 'compare=[RUN,RUN]' compares evaluations")
    if config["compare"] is None:
        score(config)
    else:
        compare(config)


def score(config: Config) -> None:
    """Write what an evaluation finds into `out`, and for the report what the checkpoint was trained with."""
    from fovea.engine.checkpoint import load
    from fovea.engine.evaluate import evaluate, headline, settings_of
    from fovea.runtime.config import instantiate, locate
    from fovea.runtime.processes import pick

    split, data = config["split"], config["data"]
    checkpoint, device = Path(config["checkpoint"]), pick(config["device"])
    module, trained_with = load(checkpoint, device)
    if trained_with["data"]["_target_"] != data["_target_"]:
        raise ValueError(f"data={data['name']} is of another kind than {checkpoint} was trained on; choose that data=…")
    of_model = {key: trained_with["data"].get(key) for key in locate(data["_target_"], "data._target_").model_keys}
    for key in ("channels", "classes"):
        if data[key] is not None and of_model[key] != data[key]:
            own = of_model[key]
            raise ValueError(f"data.{key}={data[key]} but {checkpoint} has {own}; add data.{key}={own}")
    source = instantiate(data | of_model, "data")
    held_out = source.split(split)
    settings = settings_of(config, source, held_out, checkpoint)
    out = Path(config["out"])
    predictor = source.predictor(instantiate(config["tta"], "tta")(module))
    write_text(Path(config["run_dir"]) / TRAINED, OmegaConf.to_yaml(OmegaConf.create(trained_with)))
    summary, _ = evaluate(predictor, held_out, settings, device, out)
    log.info("%s", headline(summary, out))


def compare(config: Config) -> None:
    """Write `comparison.csv`, `comparison.md` and `comparison.json` into `out`; neither torch nor data are needed."""
    from fovea.report.comparison import compare_runs, markdown, note, write_comparison
    from fovea.report.evaluations import read_named

    column, out = config["compare_on"], Path(config["out"])
    runs = read_named(config["compare"], config["split"], column)
    comparison = compare_runs(runs, column, config["compare_alpha"], config["compare_resamples"], config["seed"])
    write_comparison(comparison, out)
    log.info("%s\n\n%s\n%s", markdown(comparison), note(comparison), out)


if __name__ == "__main__":
    main()
