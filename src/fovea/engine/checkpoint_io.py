"""Write checkpoints completely or not at all."""

import io
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from fovea.runtime.files import write_bytes


class WholeCheckpoints(TorchCheckpointIO):
    """Write under a temporary name beside the final one, then rename.

    Lightning writes into the system's temporary folder and moves the file. If that is another disk, as on most
    clusters, the move is a copy onto the final name, and a full disk or a kill leaves a part of a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            ValueError: the folder cannot be written, or the disk is full.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())
