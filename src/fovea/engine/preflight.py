"""Checks of a training configuration that need neither data nor torch, so that a wrong value is refused at once."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from fovea.runtime.bounds import Count, NonNegativeInt, Positive, check_values

BEST = {"filename": "best", "save_top_k": 1, "enable_version_counter": False}  # or it is not the best
SHEET: dict[str, Any] = {"sheet_rows": NonNegativeInt, "sheet_tile": Count | None}
FACTORIES = ("backbone", "supervision", "optimizer", "scheduler")
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Length = Annotated[int, Field(strict=True, ge=-1)]  # in steps or epochs; -1: no limit


def check(config: Mapping[str, Any]) -> None:
    """Refuse a configuration of `fovea-train` that cannot work on any machine or data; the ValueError names the key."""
    yes_or_no, splits = Literal[True, False], list[Literal["train", "val", "test"]]
    check_values({"channels_last": yes_or_no, "compile": yes_or_no, "evaluate": splits} | SHEET, config, "")
    lengths = dict.fromkeys(("max_steps", "max_epochs"), Length | None)  # Lightning takes half a step as a whole one
    check_values({"precision": Precision | None, **lengths}, config["trainer"], "trainer")
    check_values({"lr": Positive}, config["optimizer"], "optimizer")
    if "callbacks" in config and not any(config["callbacks"].get(name) for name in ("best", "last")):
        raise ValueError("callbacks has neither best nor last: no checkpoint would be saved; add defaults: [default]")
    for name, value in (config.get("callbacks", {}).get("best") or {}).items():
        if BEST.get(name, value) != value:
            fix = "best.ckpt is evaluated; for others, add a ModelCheckpoint as +callbacks.NAME"
            raise ValueError(f"callbacks.best.{name} must be {BEST[name]}, got {value}: {fix}")
    for name, callback in config.get("callbacks", {}).items():
        if str((callback or {}).get("_target_")).endswith(".StochasticWeightAveraging"):
            fix = "its average comes after the last checkpoint, so it is neither saved nor scored; choose callbacks=ema"
            raise ValueError(f"callbacks.{name}: StochasticWeightAveraging is not supported: {fix}")
    for part in FACTORIES:
        if (chosen := config.get(part)) and chosen.get("_partial_") is not True:
            raise ValueError(f"{part}._partial_ must be true, since {part} is completed later; add it beside _target_")
    scheduler, steps = config["scheduler"], config["trainer"].get("max_steps")
    if isinstance(steps, int) and "warmup_epochs" in scheduler and 0 < steps <= (warmup := scheduler["warmup_steps"]):
        raise ValueError(f"scheduler.warmup_steps must be below trainer.max_steps={steps}, got {warmup}")
    rate, minimum = config["optimizer"].get("lr"), scheduler.get("minimum", 0.0)
    if isinstance(rate, int | float) and minimum > rate:
        raise ValueError(f"scheduler.minimum must be at most optimizer.lr={rate}, got {minimum}")
    supervision, data = config.get("supervision", {}), config.get("data", {})
    if supervision.get("across") and len(data.get("modalities") or ()) < 2:
        raise ValueError("supervision.across=true is for data of several modalities; set supervision.across=false")


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
