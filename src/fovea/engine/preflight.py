"""Checks of a training configuration that need neither data nor torch, so that a wrong value is refused at once."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from fovea.metrics.overlap import NAMES
from fovea.runtime.bounds import Count, NonNegative, NonNegativeInt, Number, Positive, PositiveFraction, check_values
from fovea.runtime.config import CHECKED
from fovea.runtime.errors import did_you_mean

BEST: dict[str, Any] = {"filename": "best", "save_top_k": 1, "enable_version_counter": False}  # or it is not the best
SHEET: dict[str, Any] = {"sheet_rows": NonNegativeInt, "sheet_tile": Count | None}
SHORT = ("dice", "loss", "epoch", "step")  # what callbacks can monitor beside `train/…`, `val/…` and rates
FACTORIES = ("backbone", "supervision", "optimizer", "scheduler")
OPTIMIZER: dict[str, Any] = {"lr": Positive, "weight_decay": NonNegative, "momentum": NonNegative}
TRAINER: dict[str, Any] = {  # what Lightning takes as another value, ignores, or refuses late
    "devices": list[NonNegativeInt] | Annotated[str, Field(pattern=r"^[\d, ]+$")] | Literal[-1, "auto"] | Count,
    "num_nodes": Count,
    "precision": Literal["32-true", "bf16-mixed", "16-mixed"] | None,
    "max_steps": Literal[-1] | Count,  # -1: no limit
    "max_epochs": Literal[-1] | Count | None,
    "accumulate_grad_batches": Count,
    "gradient_clip_val": NonNegative | None,
    "val_check_interval": Count | PositiveFraction | None,
    "check_val_every_n_epoch": Count | None,
    "log_every_n_steps": NonNegativeInt | None,
    "num_sanity_val_steps": Literal[-1] | NonNegativeInt | None,
}
NORMALIZE: dict[str, Any] = {
    "mean": list[Number] | None,
    "std": list[Positive] | None,
    "max_pixel_value": Positive | None,
}


def check(config: Mapping[str, Any]) -> None:
    """Refuse a configuration of `fovea-train` that cannot work on any machine or data; the ValueError names the key."""
    splits = list[Literal["train", "val", "test"]]
    kinds = {"channels_last": bool, "compile": bool, "evaluate": splits, "metrics": Mapping[str, Any] | None}
    check_values(kinds | SHEET, config, "")
    _check_trainer(config["trainer"])
    check_values(OPTIMIZER, config["optimizer"], "optimizer")
    if "callbacks" in config:
        _check_callbacks(config["callbacks"], f"{config['run_dir']}/checkpoints", config["trainer"].get("max_steps"))
        _check_monitors(config["callbacks"], config.get("metrics") or {})
        if "logger" in config and not any((config["logger"] or {}).values()) and config["callbacks"].get("rate"):
            raise ValueError("callbacks.rate needs a logger, and there is none; set callbacks.rate=null")
    for part in FACTORIES:
        if (chosen := config.get(part)) and chosen.get("_partial_") is not True:
            raise ValueError(f"{part}._partial_ must be true, since {part} is completed later; add it beside _target_")
    scheduler, steps = config["scheduler"], config["trainer"].get("max_steps")
    if isinstance(steps, int) and "warmup_epochs" in scheduler and 0 < steps <= (warmup := scheduler["warmup_steps"]):
        raise ValueError(f"scheduler.warmup_steps must be below trainer.max_steps={steps}, got {warmup}")
    rate, minimum = config["optimizer"].get("lr"), scheduler.get("minimum", 0.0)
    if isinstance(rate, int | float) and minimum > rate:
        raise ValueError(f"scheduler.minimum must be at most optimizer.lr={rate}, got {minimum}")
    supervision, data, backbone = (config.get(part, {}) for part in ("supervision", "data", "backbone"))
    check_normalize(data)
    _check_intensity(data.get("intensity") or {})
    for key, of_data in {"in_channels": data.get("channels"), "classes": data.get("classes")}.items():
        ours = str(backbone.get("_target_")).startswith("fovea.")
        if ours and of_data is not None and backbone.get(key, of_data) != of_data:
            fix = f"leave it out, or set data.{key.removeprefix('in_')}"
            raise ValueError(f"backbone.{key} must be that of the data, {of_data}, got {backbone[key]}; {fix}")
    if supervision.get("across") and len(data.get("modalities") or ()) < 2:
        raise ValueError("supervision.across=true is for data of several modalities; set supervision.across=false")


def check_normalize(data: Mapping[str, Any]) -> None:
    """Refuse in a group `data` what albumentations divides by, or fits to the channels without a word."""
    normalize = data.get("normalize") or {}
    if normalize.get("_target_") != "albumentations.Normalize":
        return
    lists = {key: [normalize[key]] for key in ("mean", "std") if isinstance(normalize.get(key), int | float | str)}
    check_values(NORMALIZE, values := {**normalize, **lists}, "data.normalize")
    for key in ("mean", "std"):
        if values.get(key) is not None and (count := len(values[key])) not in (1, 3):
            raise ValueError(f"data.normalize.{key} must have 3 numbers, or 1 for all channels, got {count}")


def _check_intensity(intensity: Mapping[str, Any]) -> None:
    """Refuse a window that MONAI does not scale, turns around, or maps to one value, without a word."""
    for name, each in intensity.items():
        if not isinstance(each, Mapping) or each.get("_target_") != "monai.transforms.ScaleIntensityRange":
            continue
        for low, high in (("a_min", "a_max"), ("b_min", "b_max")):
            key = f"data.intensity.{name}"
            check_values({low: Number, high: Number}, {low: each.get(low), high: each.get(high)}, key)
            if each[low] >= each[high]:
                raise ValueError(f"{key}.{low} must be below {key}.{high}={each[high]}, got {each[low]}")


def _check_trainer(trainer: Mapping[str, Any]) -> None:
    check_values(TRAINER, trainer, "trainer")
    part = trainer.get("val_check_interval")
    if isinstance(part, float) and trainer.get("check_val_every_n_epoch", 1) is None:
        fix = "set trainer.check_val_every_n_epoch=1, or a number of steps"
        raise ValueError(f"trainer.val_check_interval={part} is a part of an epoch: {fix}")


def _check_callbacks(callbacks: Mapping[str, Any], folder: str, steps: Any) -> None:
    """Refuse callbacks that save no checkpoint, or not the one that is evaluated and resumed, or not its weights."""
    check_values(dict.fromkeys(callbacks, Mapping[str, Any] | None), callbacks, "callbacks")
    if not any(callbacks.get(name) for name in ("best", "last")):
        raise ValueError("callbacks has neither best nor last: no checkpoint would be saved; add defaults: [default]")
    for name, fixed in {"best": BEST | {"dirpath": folder}, "last": {"dirpath": folder}}.items():
        for key, value in (callbacks.get(name) or {}).items():
            if fixed.get(key, value) != value:
                fix = f"fovea reads {name}.ckpt there; for others, add a ModelCheckpoint as +callbacks.NAME"
                raise ValueError(f"callbacks.{name}.{key} must be {fixed[key]}, got {value}: {fix}")
    for name, callback in callbacks.items():
        if str((callback or {}).get("_target_")).endswith(".StochasticWeightAveraging"):
            fix = "its average comes after the last checkpoint, so it is neither saved nor scored; choose callbacks=ema"
            raise ValueError(f"callbacks.{name}: StochasticWeightAveraging is not supported: {fix}")
        start = (callback or {}).get("update_starting_at_step")
        if isinstance(start, int) and isinstance(steps, int) and 0 < steps <= start:
            key = f"callbacks.{name}.update_starting_at_step"
            raise ValueError(f"{key} must be below trainer.max_steps={steps}, got {start}: nothing would be averaged")


def _check_monitors(callbacks: Mapping[str, Any], added: Mapping[str, Any]) -> None:
    """Refuse callbacks that monitor what nothing logs, terms of a loss aside; callbacks of your own may log others."""
    chosen = {name: callback for name, callback in callbacks.items() if callback}
    if not all(str(callback.get("_target_")).startswith(CHECKED) for callback in chosen.values()):
        return
    logged = [f"val/{name}" for name in (*NAMES, *(name for name, metric in added.items() if metric))]
    for name, callback in chosen.items():
        monitor = callback.get("monitor")
        if monitor is not None and not str(monitor).startswith(("train/", "lr-")) and monitor not in (*logged, *SHORT):
            hint = did_you_mean(str(monitor), logged)
            raise ValueError(f"callbacks.{name}.monitor={monitor} is not logged; {hint}there are {', '.join(logged)}")


def check_mode(mode: Any, data: Mapping[str, Any]) -> str:
    """Return the kind of a group `data`, `images` or `volumes`.

    A ValueError if the supervision mode does not support it, or trains on maps of fewer classes than the data has.
    """
    kind = "volumes" if "modalities" in data else "images"
    if absent := [name for name in ("needs", "serves", "losses", "after_step") if not hasattr(mode, name)]:
        raise ValueError(f"supervision: {mode.__name__} has no {absent[0]}; see docs/adding_a_supervision_mode.md")
    if text := [name for name in ("needs", "serves") if isinstance(getattr(mode, name), str)]:
        raise ValueError(f"supervision: {mode.__name__}.{text[0]} must be a frozenset of names, not text")
    if kind not in mode.serves:
        raise ValueError(f"supervision: {mode.__name__} does not support {kind}; set another supervision=… or data=…")
    most = 2 if kind == "volumes" else 1  # a softmax of background and foreground
    if "pseudo" in mode.needs and (data.get("classes") or 1) > most:
        trained = f"{mode.__name__} trains on maps of one class, but data.classes={data['classes']}"
        fix = "choose supervision=full, or data.classes=1 (data.labels joins structures)"
        raise ValueError(f"supervision: {trained}; {fix}")
    return kind
