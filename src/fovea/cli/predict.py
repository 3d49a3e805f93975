"""`fovea-predict`: masks and overlays of a folder of unseen images."""

import logging
from functools import partial
from pathlib import Path

from fovea.data.folder import Folder
from fovea.data.images import image_files
from fovea.runtime.entry import Config, command
from fovea.runtime.errors import FoveaError, first_few

log = logging.getLogger(__name__)


@command("predict")
def main(config: Config) -> None:
    """Write `masks/` and `overlays/` into `out` for every image of `input`."""
    from fovea.checkpoint import load
    from fovea.prediction import predict
    from fovea.runtime.device import pick
    from fovea.runtime.instantiate import instantiate, locate

    device, out = pick(config["device"]), Path(config["out"])
    module, trained_with = load(Path(config["checkpoint"]), device)
    data = trained_with["data"]
    kind = locate(data["dataset"]["_target_"], "checkpoint: data.dataset._target_")
    if not issubclass(kind, Folder):
        raise FoveaError(f"checkpoint: {kind.__name__} is no data set of images; give a file that fovea-train wrote")
    images = image_files(Path(config["input"]), kind.image_suffixes)
    decode = partial(kind.decode, channels=data["channels"])
    module = instantiate(config["tta"])(module)
    failures = predict(module, images, decode, data["size"], instantiate(data["normalize"]), device, out)
    log.info("%d masks in %s", len(images) - len(failures), out)
    if failures:
        raise FoveaError(
            f"{len(failures)} of {len(images)} images failed, the others are in {out}: "
            f"{first_few(failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
