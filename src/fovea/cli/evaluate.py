"""`fovea-evaluate`: scores of a checkpoint on one split."""

import logging
from pathlib import Path

from fovea.gaze.parameters import Parameters
from fovea.runtime.entry import Config, command

log = logging.getLogger(__name__)


@command("evaluate")
def main(config: Config) -> None:
    """Write `per_image.csv`, `summary.json` and `contact_sheet.png` into `out`."""
    from fovea.checkpoint import load
    from fovea.evaluation import evaluate, headline, settings_of, split_plan
    from fovea.runtime.device import pick

    parameters = Parameters.of(config["gaze"]).flat()
    plan = split_plan(config, config["split"], parameters)
    checkpoint, device = Path(config["checkpoint"]), pick(config["device"])
    module, trained_with = load(checkpoint, device)
    out = Path(config["out"])
    settings = settings_of(trained_with, config)
    summary = evaluate(module, plan, config["split"], settings, device, checkpoint, out)
    log.info("%s", headline(summary, out))


if __name__ == "__main__":
    main()
