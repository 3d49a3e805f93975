"""`fovea-import`: from an eye tracker's export, published maps or a raw data set to what the other commands read."""

import logging
from functools import partial
from pathlib import Path

from fovea.data.images.source import folder_of
from fovea.data.parameters import Parameters
from fovea.importers.detection import Detection
from fovea.importers.geometry import Place, Screen
from fovea.importers.task import Task
from fovea.runtime.app import Config, command
from fovea.runtime.config import config_folder, instantiate
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("import")
def main(config: Config) -> None:
    """Write `out` from `source`, as the format has it."""
    if "format" not in config:
        choices = sorted(path.stem for path in (config_folder() / "format").glob("*.yaml"))
        raise ValueError(f"format is not given: add format=… ({', '.join(choices)})")
    data = config["data"]
    outcome = instantiate(config["format"])(
        Task(
            source=Path(config["source"]).expanduser(),
            out=Path(config["out"]),
            dataset=partial(folder_of(data), root=data["root"]) if data["root"] is not None else None,
            screen=Screen(**config["screen"]),
            place=Place(**config["image"], fit=config["fit"]),
            detection=Detection(**config["detection"]),
            parameters=Parameters.of(config["labels"], config["refine"]),
        )
    )
    for line in outcome.lines:
        log.info("%s", line)
    for line in outcome.warnings:
        log.warning("%s", line)
    if failures := outcome.failures:
        raise ValueError(
            f"{len(failures)} could not be imported ({first_few(failures)}), all others are in {config['out']}: "
            f"{first_few(failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
