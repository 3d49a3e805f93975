"""Resume a run: which checkpoint, whether it belongs to this run, and whether the folder was moved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from fovea.engine.checkpoint import KEY, fill, read, weights_of
from fovea.runtime.config import FREE, flat, is_default, is_under
from fovea.runtime.errors import first_few

STATE = ("global_step", "optimizer_states", "lr_schedulers", "loops", "callbacks", "DataModule")  # beside the weights
SHOWN = 40  # characters of a value in an error


def resume_from(choice: str | None, run: Path, config: Mapping[str, Any], module: nn.Module) -> tuple[Path, int] | None:
    """Return the checkpoint to resume from and its step; None to start from scratch. The module gets its weights.

    `choice` is `ckpt_path` of the configuration: null, a file, or `auto` for the last checkpoint of the run, if any. A
    ValueError if the file is missing, is not a checkpoint, holds another model or configuration, more steps, or weights
    alone.
    """
    if choice is None:
        return None
    path = run / "checkpoints" / "last.ckpt" if choice == "auto" else Path(choice)
    if choice == "auto" and not path.exists():
        return None
    if not path.is_file():
        raise ValueError(f"ckpt_path: no such file {path}; give a last.ckpt, auto or null")
    content = read(path)
    if missing := [part for part in STATE if part not in content]:
        raise ValueError(f"ckpt_path: {path} has weights, but no {first_few(missing)} to resume from; give a last.ckpt")
    if different := sorted(differences(content[KEY]["config"], config)):
        few = first_few(different, 4)
        fix = "set the same values, or start in another folder"
        raise ValueError(f"ckpt_path: {path} was trained with another configuration: {few}; {fix}")
    step, steps = int(content["global_step"]), config["trainer"].get("max_steps", -1)
    if 0 <= steps < step:
        raise ValueError(f"trainer.max_steps={steps}: {path} has {step} steps already; set at least {step}")
    fill(module, weights_of(content), path)
    return path, step


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, as `key=old, now new`, except free and new ones at their default."""
    old, new = dict(flat(then)), dict(flat(now))
    return [
        f"{key}={_short(old.get(key, 'absent'))}, now {_short(new.get(key, 'absent'))}"
        for key in old.keys() | new.keys()
        if old.get(key) != new.get(key) and not is_under(key, FREE) and (key in old or not is_default(key, new[key]))
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"


def follow(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Make a checkpoint name the files that ModelCheckpoint keeps under the folder that the run has now.

    Lightning stores absolute paths, and forgets the best score if the folder is another: a worse checkpoint would then
    replace the best. The states of the callbacks in the checkpoint are changed in place.
    """
    if Path(trainer.default_root_dir).resolve() not in Path(str(trainer.ckpt_path)).resolve().parents:
        return  # the checkpoint is that of another run
    for callback in trainer.checkpoint_callbacks:
        state = checkpoint["callbacks"].get(callback.state_key)
        if not isinstance(callback, ModelCheckpoint) or not state or callback.dirpath is None:
            continue
        old, folder = Path(state["dirpath"]), Path(callback.dirpath)
        if old == folder or not (folder / Path(state["best_model_path"]).name).is_file():
            continue

        def moved(path: str, old: Path = old, folder: Path = folder) -> str:
            return str(folder / Path(path).relative_to(old)) if Path(path).is_relative_to(old) else path

        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = moved(state[key])
        state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
        state["dirpath"] = callback.dirpath


def stopped_early(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether Lightning's EarlyStopping ended the training; resumed, Lightning would train on."""
    states = [state for state in checkpoint["callbacks"].values() if "stopped_epoch" in state]
    return any(state["stopped_epoch"] > 0 or state["wait_count"] >= state["patience"] for state in states)
