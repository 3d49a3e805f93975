"""`fovea-predict`: masks and overlays of new images."""

import logging
from pathlib import Path

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("predict")
def main(config: Config) -> None:
    """Write masks, and pictures of them, into `out` for every image of `input`."""
    from fovea.data.predictions import refuse_overlap

    source, out = (Path(str(config[key])).expanduser() for key in ("input", "out"))
    if not source.exists():
        raise ValueError(f"input: no such file or folder {source}; give an image or a folder of images")
    refuse_overlap(source, out)
    from fovea.engine.checkpoint import load
    from fovea.runtime.config import instantiate, locate
    from fovea.runtime.processes import pick

    device = pick(config["device"])
    module, trained_with = load(Path(config["checkpoint"]), device)
    data = trained_with["data"]
    module = instantiate(config["tta"], "tta")(module)
    kind = locate(data["_target_"], "checkpoint: data._target_")
    count, failures = kind.predict(data, module, source, out, device)
    log.info("%d masks in %s", count - len(failures), out)
    if failures:
        raise ValueError(
            f"{len(failures)} of {count} images failed, the others are in {out}: {first_few(failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
