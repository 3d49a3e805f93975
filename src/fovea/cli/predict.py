"""`fovea-predict`: masks and overlays of new images."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@command("predict")
def main(config: Config) -> None:
    """Write masks, and pictures of them, into `out` for every image of `input`."""
    from fovea.data.predictions import refuse_overlap

    source, out = (Path(str(config[key])).expanduser() for key in ("input", "out"))
    if not source.exists():
        raise ValueError(f"input: no such file or folder {source}; give an image or a folder of images")
    refuse_overlap(source, out)
    from fovea.engine.export.read import SUFFIXES
    from fovea.runtime.processes import pick

    checkpoint, device = Path(config["checkpoint"]), pick(config["device"])
    if checkpoint.suffix.lower() in SUFFIXES:
        count, failures = predict_exported(config, checkpoint, source, out, device)
    else:
        from fovea.engine.checkpoint import load
        from fovea.runtime.config import instantiate, locate

        module, trained_with = load(checkpoint, device)
        data = trained_with["data"]
        module = instantiate(config["tta"], "tta")(module)
        kind = locate(data["_target_"], "checkpoint: data._target_")
        count, failures = kind.predict(data, module, source, out, device)
    log.info("%d masks in %s", count - len(failures), out)
    if failures:
        raise ValueError(
            f"{len(failures)} of {count} images failed, the others are in {out}: {first_few(failures.values(), 2)}"
        )


def predict_exported(
    config: Config, checkpoint: Path, source: Path, out: Path, device: "torch.device"
) -> tuple[int, dict[str, str]]:
    """Predict with a file of `fovea-export`; see `fovea.data.source.Source.predict`."""
    from fovea.data.images.predict import predict
    from fovea.engine.export.read import read_exported

    if config["tta"]["axes"]:
        raise ValueError(f"tta: {checkpoint} is exported with its flips; export it again with tta=flips")
    network, data = read_exported(checkpoint, device)
    return predict(data, network, source, out)


if __name__ == "__main__":
    main()
