"""`fovea-predict`: masks and overlays of a folder of unseen images."""

import logging
from pathlib import Path

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("predict")
def main(config: Config) -> None:
    """Write masks, and pictures of them, into `out` for every image of `input`."""
    from fovea.engine.checkpoint import load
    from fovea.runtime.config import instantiate, locate
    from fovea.runtime.processes import pick

    device, out = pick(config["device"]), Path(config["out"])
    module, trained_with = load(Path(config["checkpoint"]), device)
    data = trained_with["data"]
    source = locate(data["_target_"], "checkpoint: data._target_")
    module = instantiate(config["tta"], "tta")(module)
    count, failures = source.predict(data, module, Path(config["input"]), out, device)
    log.info("%d masks in %s", count - len(failures), out)
    if failures:
        raise ValueError(
            f"{len(failures)} of {count} images failed, the others are in {out}: {first_few(failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
