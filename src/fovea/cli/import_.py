"""`fovea-import`: convert the recordings of an eye tracker, published maps or a raw data set."""

import logging
from functools import partial

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("import")
def main(config: Config) -> None:
    """Write `out` from `source` in the given format."""
    from fovea.data.images.source import folder_of
    from fovea.data.maps import parameters
    from fovea.importers.request import ImportRequest
    from fovea.runtime.config import config_folder, instantiate, path_of

    if "format" not in config:
        choices = sorted(path.stem for path in (config_folder() / "format").glob("*.yaml"))
        raise ValueError(f"format is not set: add format=… ({', '.join(choices)})")
    data = config["data"]
    request = ImportRequest(
        source=path_of(config, "source"),
        out=path_of(config, "out"),
        dataset=partial(folder_of(data), root=data["root"]) if data["root"] is not None else None,
        screen=instantiate(config["screen"], "screen"),
        place=instantiate(config["image"], "image"),
        detection=instantiate(config["detection"], "detection"),
        parameters=parameters(config["labels"], config["refine"], data),
    )
    result = instantiate(config["format"], "format")(request)
    for line in result.lines:
        log.info("%s", line)
    for line in result.warnings:
        log.warning("%s", line)
    if failures := result.failures:
        raise ValueError(
            f"{len(failures)} could not be imported ({first_few(failures)}), all others are in {config['out']}: "
            f"{first_few(failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
