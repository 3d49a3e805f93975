"""`fovea-simulate`: labels of a simulated observer, from masks."""

import logging

from fovea.runtime.app import Config, command

log = logging.getLogger(__name__)


@command("simulate")
def main(config: Config) -> None:
    """Write `out`, a CSV or a folder of PNG, for every image of the data set that has a mask."""
    from fovea.data.images.source import folder_of
    from fovea.runtime.config import instantiate, path_of
    from fovea.simulate.folder import simulate_folder

    dataset = folder_of(config["data"])(root=config["data"]["root"])
    out = path_of(config, "out")
    observer = instantiate(config["observer"], "observer")
    count, images = simulate_folder(dataset, out, observer, config["seed"])
    log.info("%d %s of %d images in %s", count, "rows" if observer.columns else "pictures", images, out)


if __name__ == "__main__":
    main()
