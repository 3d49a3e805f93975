"""`fovea-simulate`: fixations of a simulated observer, from masks."""

import logging
from pathlib import Path

from fovea.runtime.app import Config, command

log = logging.getLogger(__name__)


@command("simulate")
def main(config: Config) -> None:
    """Write `out`, a fixation CSV, for every image of the data set that has a mask."""
    from fovea.data.images.source import folder_of
    from fovea.runtime.config import instantiate
    from fovea.simulate.gaze import simulate_folder

    dataset = folder_of(config["data"])(root=config["data"]["root"])
    out = Path(config["out"])
    rows, images = simulate_folder(dataset, out, instantiate(config["observer"], "observer"), config["seed"])
    log.info("%d fixations on %d images in %s", rows, images, out)


if __name__ == "__main__":
    main()
