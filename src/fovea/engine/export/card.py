"""The model card: what a model was trained on and by which labels, its scores, its use, its limits, its origin."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fovea import __version__
from fovea.data.labels import Labels
from fovea.engine.checkpoint import Loaded
from fovea.runtime.config import locate
from fovea.runtime.files import read_mapping, sha256, write_json, write_text
from fovea.runtime.record import TRAINING
from fovea.runtime.templates import render

UNKNOWN = "unknown"
_SCORES = ("dice", "iou", "precision", "recall", "hd95", "surface_dice")
_FROM_PROVENANCE = ("command", "git", "python", "seed", "versions")


def write_card(out: Path, checkpoint: Path, loaded: Loaded, facts: Mapping[str, Any]) -> None:
    """Write `model_card.json` and `model_card.md` into `out`; a ValueError if that is not possible.

    If the checkpoint is in a run folder, the card has the evaluations and the provenance of the run. `facts` are
    `file`, `name`, `intended_use`, `license` and `export`, as the export knows them.
    """
    trained, data, path = loaded.config, loaded.config["data"], checkpoint.absolute()
    run = path.parents[1] if path.parent.name == "checkpoints" else path  # a file has no evaluations below it
    summaries = sorted(run.glob("evaluate/*/summary.json"))
    scores = {path.parent.name: _scores(content) for path in summaries if "dice" in (content := read_mapping(path))}
    provenance = read_mapping(run / "provenance.json")
    card: dict[str, Any] = {
        "model": {
            "backbone": _network(trained["backbone"]),
            "supervision": trained["supervision"]["_target_"],
            "parameters": sum(weights.numel() for weights in loaded.module.parameters()),
            "input": f"uint8 [H, W, {data['channels']}], any size; {data['size']} pixels a side inside",
            "output": f"float32 [{data['classes']}, H, W], probabilities",
            "classes": Labels(data.get("labels"), data["classes"]).channels,
        },
        "training": {
            "data": data.get("name", UNKNOWN),
            "labels": _labels(trained),
            "images": len(loaded.ids) or UNKNOWN,
            "protocol": data.get("protocol", UNKNOWN),
            "seed": trained.get("seed", UNKNOWN),
            "steps": read_mapping(run / TRAINING).get("steps", UNKNOWN),
        },
        "scores": scores,
        "limits": _limits(data, scores, checkpoint.name, facts["export"]["tta"]),
        "provenance": {
            "checkpoint": checkpoint.name,
            "sha256": sha256(checkpoint),
            "exported_with": f"fovea {__version__}",
            **{key: provenance[key] for key in _FROM_PROVENANCE if key in provenance},
        },
        **facts,
    }
    write_json(out / "model_card.json", card)
    write_text(out / "model_card.md", render(Path(__file__).with_name("model_card.md.jinja"), card, autoescape=False))


def _labels(trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the mode trains on and, of maps, what they were made from."""
    needs = sorted(locate(trained["supervision"]["_target_"], "supervision._target_").needs)
    maps = trained["data"].get("maps") or {}
    if "pseudo" not in needs or not maps:
        return {"targets": needs}
    labels = {key: value for key, value in maps["labels"].items() if key not in ("_target_", "folder", "path")}
    if path := maps["labels"].get("path"):
        labels["file"] = Path(path).name
    thresholds = trained["supervision"].get("thresholds")
    return {"targets": needs, "made_from": labels, "refine": maps["refine"]["name"], "thresholds": thresholds}


def _limits(data: Mapping[str, Any], scores: Mapping[str, Any], checkpoint: str, tta: Collection[int]) -> list[str]:
    stretched = locate(data["dataset"]["_target_"], "checkpoint: data.dataset._target_").stretched
    ends = data.get("range") or ("the lowest and the highest value of each slice" if stretched else "")
    limits = [
        "A research model, not a medical device: no clinical decision may depend on it.",
        f"Trained on {data.get('name', 'one data set')} alone; measure it on images of your own scanner before use.",
        "It marks something in every kind of picture, also in one that it does not know.",
        "Images of more than 8 bits per channel must be scaled to 8 bits first"
        + (f": {ends} become 0 and 255." if ends else "."),
    ]
    if data.get("largest_component"):
        limits.append("Keep the largest connected component of each class only, as its scores do.")
    if "test" not in scores:
        limits.append("No evaluation on test images is recorded.")
    for split, content in scores.items():
        if content["select_on"] == "pseudo":
            limits.append(f"The scores on {split} compare with pseudo-masks, not with masks of experts.")
        if content["checkpoint"] != checkpoint:
            limits.append(f"The scores on {split} are those of {content['checkpoint']}, not of {checkpoint}.")
        if sorted(content["tta"] or []) != sorted(tta):
            limits.append(f"The scores on {split} were measured with other flips: {content['tta'] or 'none'}.")
    return limits


def _scores(summary: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: summary[name] for name in _SCORES if isinstance(summary.get(name), Mapping)}
    facts = {name: summary.get(name) for name in ("n", "select_on", "calibration_error", "tta")}
    return {**kept, **facts, "classes": summary.get("classes", {}), "checkpoint": Path(summary["checkpoint"]).name}


def _network(backbone: Mapping[str, Any]) -> str:
    """Return the name of the network and of its encoder, if it has one."""
    inner = backbone.get("network") or {}
    name = str(inner.get("_target_", backbone["_target_"]))
    return f"{name} ({backbone['encoder_name']})" if "encoder_name" in backbone else name
