"""`fovea-simulate`: fixations of a simulated observer, from masks."""

import logging
from pathlib import Path

from fovea.gaze.simulate import Observer, simulate_dataset
from fovea.runtime.entry import Config, command
from fovea.runtime.instantiate import instantiate

log = logging.getLogger(__name__)


@command("simulate")
def main(config: Config) -> None:
    """Write `out`, a fixation CSV, for every image of the data set that has a mask."""
    dataset = instantiate(config["data"]["dataset"])(root=config["data"]["root"])
    count = simulate_dataset(dataset, Observer(**config["observer"]), config["seed"], Path(config["out"]))
    log.info("%s", count)


if __name__ == "__main__":
    main()
