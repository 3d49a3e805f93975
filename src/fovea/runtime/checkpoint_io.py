"""Checkpoints that are either whole or absent."""

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from fovea.runtime.files import write_bytes


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the final name and renames.

    Lightning writes into the system's temporary folder and moves: where that is another disk, as on most clusters,
    the move is a copy onto the final name, and a full disk or a kill leaves a part of it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            FoveaError: the folder cannot be written, or the disk is full.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())


class AtTheEnd(pl.Callback):
    """Writes a checkpoint when training ends, with the optimiser.

    It stands before all other callbacks: one that averages weights puts the average in the place of the weights when
    training ends, and a run could not go on from a checkpoint written after that.

    Args:
        path: Of the checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it."""
        trainer.save_checkpoint(self.path, weights_only=False)
        self.written = True
