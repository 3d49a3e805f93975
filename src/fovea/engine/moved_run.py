"""Resume a run whose folder was moved."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


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
