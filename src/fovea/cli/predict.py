"""`fovea-predict`: masks and overlays of new images."""

import logging

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("predict")
def main(config: Config) -> None:
    """Write masks, pictures of them and a table of their figures into `out` for every image of `input`."""
    from fovea.data.predict_request import OPTIONS, PredictRequest, refuse_overlap
    from fovea.runtime.bounds import check
    from fovea.runtime.config import path_of

    source, out = (path_of(config, key) for key in ("input", "out"))
    if not source.exists():
        raise ValueError(f"input: no such file or folder {source}; give an image or a folder of images")
    refuse_overlap(source, out)
    options = {key: config[key] for key in OPTIONS}
    check(PredictRequest, options, "")
    from fovea.data.images.predict import predict
    from fovea.engine.checkpoint import load_all
    from fovea.engine.export.read import SUFFIXES, read_exported
    from fovea.runtime.config import instantiate, locate
    from fovea.runtime.device import pick
    from fovea.runtime.record import checkpoint_files

    checkpoints, device = checkpoint_files(config["checkpoint"]), pick(config["device"])
    request = PredictRequest(source, out, {"tta": config["tta"]["axes"]}, **options)
    if len(checkpoints) == 1 and checkpoints[0].suffix.lower() in SUFFIXES:
        if config["tta"]["axes"]:
            raise ValueError(f"tta: {checkpoints[0]} has fixed flips; export its checkpoint again with tta=flips")
        network, data = read_exported(checkpoints[0], device)
        count, failures = predict(data, network, request.made_by(checkpoints, [()]))
    else:
        (module, trained, _, classes), networks = load_all(checkpoints, device)
        source_type = locate(trained["data"]["_target_"], "checkpoint: data._target_")
        module = instantiate(config["tta"], "tta")(module)
        request = request.made_by(checkpoints, [network.ids for network in networks], classes)
        count, failures = source_type.predict(trained["data"], module, device, request)
    log.info("%d masks in %s", count - len(failures), out)
    if failures:
        others = f", the others are in {out}" if len(failures) < count else ""
        raise ValueError(f"{len(failures)} of {count} images failed{others}: {first_few(failures.values(), 2)}")


if __name__ == "__main__":
    main()
