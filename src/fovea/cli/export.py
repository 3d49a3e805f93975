"""`fovea-export`: a trained model as one file that runs without fovea."""

import logging
from collections.abc import Mapping, Sequence

from fovea.runtime.app import Config, command

log = logging.getLogger(__name__)


def passed_on(arguments: Sequence[str]) -> list[str]:
    """Return the arguments for Hydra, to which `format` is the group of `fovea-import`."""
    return [f"file_{argument}" if argument.startswith("format=") else argument for argument in arguments]


@command("export", passed_on=passed_on)
def main(config: Config) -> None:
    """Write `model.onnx` or `model.pt2`, the model card and, for ONNX, `run.py` into `out`."""
    import torch

    from fovea.engine.checkpoint import load
    from fovea.engine.export.card import UNKNOWN, write_card
    from fovea.engine.export.write import FILES, SCRIPT, Format, export
    from fovea.runtime.bounds import check_values
    from fovea.runtime.config import instantiate, path_of
    from fovea.runtime.files import make_folder, read_mapping, refuse_foreign, sha256, write_bytes
    from fovea.runtime.record import checkpoint_files

    kinds = {"format": Format, "licenses": Mapping[str, str] | None}
    check_values(kinds, config | {"format": config["file_format"]}, "")
    (checkpoint, *others), out = checkpoint_files(config["checkpoint"]), path_of(config, "out")
    if others:
        raise ValueError(f"checkpoint has {len(others) + 1} files; export each by itself, or predict with fovea.load")
    loaded = load(checkpoint, torch.device("cpu"))
    module, trained, data = loaded.module, loaded.config, loaded.config["data"]
    if "modalities" in data:
        fix = "use fovea.load(checkpoint) or fovea-predict"
        raise ValueError(f"checkpoint: {checkpoint} reads volumes, which cannot be exported; {fix}")
    path = make_folder(out) / FILES[config["file_format"]]
    names = [path.name, "model_card.md", *(["run.py"] if config["file_format"] == "onnx" else [])]
    refuse_foreign(out, names, "model_card.json", ("export", "intended_use"))
    other = next((out / name for name in FILES.values() if name != path.name and (out / name).exists()), None)
    card = read_mapping(out / "model_card.json").get("provenance", {})
    if other and card.get("sha256") != sha256(checkpoint):
        why = "was exported from another checkpoint, and a folder has one model card"
        raise ValueError(f"out: {other} {why}; set another out")
    mean = instantiate(config["tta"], "tta")
    predictor = mean(module) if config["tta"]["axes"] else module
    difference = export(predictor.eval(), data, path)
    name = config["name"] or f"{data.get('name', 'model')} by {trained['supervision']['_target_'].rpartition('.')[2]}"
    facts = {
        "name": name,
        "file": {"name": path.name, "sha256": sha256(path), "bytes": path.stat().st_size},
        "export": {"format": config["file_format"], "tta": config["tta"]["axes"], "largest_difference": difference},
        "intended_use": config["intended_use"],
        "license": (config["licenses"] or {}).get(data.get("name"), UNKNOWN),
    }
    write_card(out, checkpoint, loaded, facts)
    if config["file_format"] == "onnx":
        write_bytes(out / "run.py", SCRIPT.read_bytes())
    log.info("%s, equal to the checkpoint within %.1e; %s", path, difference, out / "model_card.md")


if __name__ == "__main__":
    main()
