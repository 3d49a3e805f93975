"""`fovea-predict`: masks and overlays of new images."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    import torch

    from fovea.data.predictions import PredictRequest

log = logging.getLogger(__name__)


@command("predict")
def main(config: Config) -> None:
    """Write masks, pictures of them and a table of their figures into `out` for every image of `input`."""
    from fovea.data.predictions import OPTIONS, PredictRequest, refuse_overlap
    from fovea.runtime.bounds import check

    source, out = (Path(str(config[key])).expanduser() for key in ("input", "out"))
    if not source.exists():
        raise ValueError(f"input: no such file or folder {source}; give an image or a folder of images")
    refuse_overlap(source, out)
    options = {key: config[key] for key in OPTIONS}
    check(PredictRequest, options, "")
    from fovea.engine.export.read import SUFFIXES
    from fovea.runtime.processes import pick

    checkpoint, device = Path(config["checkpoint"]).expanduser(), pick(config["device"])
    run = _exported if checkpoint.suffix.lower() in SUFFIXES else _trained
    request = PredictRequest(source, out, {"tta": config["tta"]["axes"]}, **options)
    count, failures = run(checkpoint, device, config["tta"], request)
    log.info("%d masks in %s", count - len(failures), out)
    if failures:
        raise ValueError(
            f"{len(failures)} of {count} images failed, the others are in {out}: {first_few(failures.values(), 2)}"
        )


def _trained(
    checkpoint: Path, device: "torch.device", tta: Any, request: "PredictRequest"
) -> tuple[int, dict[str, str]]:
    """Predict with a checkpoint; see `fovea.data.source.Source.predict`."""
    from fovea.engine.checkpoint import load, trained_classes
    from fovea.runtime.config import instantiate, locate

    module, trained_with = load(checkpoint, device)
    data = trained_with["data"]
    kind = locate(data["_target_"], "checkpoint: data._target_")
    made = request.made_by(checkpoint, trained_classes(checkpoint))
    count, failures = kind.predict(data, instantiate(tta, "tta")(module), device, made)
    return count, failures


def _exported(
    checkpoint: Path, device: "torch.device", tta: Any, request: "PredictRequest"
) -> tuple[int, dict[str, str]]:
    """Predict with a file of `fovea-export`."""
    from fovea.data.images.predict import predict
    from fovea.engine.export.read import read_exported

    if tta["axes"]:
        raise ValueError(f"tta: {checkpoint} is exported with its flips; export it again with tta=flips")
    network, data = read_exported(checkpoint, device)
    return predict(data, network, request.made_by(checkpoint))


if __name__ == "__main__":
    main()
