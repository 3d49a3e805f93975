"""Resume a run: which checkpoint, and whether it belongs to this run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fovea.engine.checkpoint import KEY, fill, read, weights_of
from fovea.runtime.config import FREE, flat, is_under
from fovea.runtime.errors import first_few

SHOWN = 40  # characters of a value in an error


def resume_from(choice: str | None, run: Path, config: Mapping[str, Any], module: nn.Module) -> tuple[Path, int] | None:
    """Return the checkpoint to resume from and its step; None to start from scratch.

    Args:
        choice: `ckpt_path` of the configuration: null, a file, or `auto` for the last checkpoint of the run, if any.
        run: The run folder.
        config: The configuration of this run.
        module: The supervision module, which gets the weights.

    Raises:
        ValueError: the file is missing, is not a checkpoint, or holds another model or configuration.
    """
    if choice is None:
        return None
    path = run / "checkpoints" / "last.ckpt" if choice == "auto" else Path(choice)
    if choice == "auto" and not path.exists():
        return None
    content = read(path)
    if different := sorted(differences(content[KEY]["config"], config)):
        raise ValueError(
            f"ckpt_path: {path} was trained with another configuration: {first_few(different, 4)}; "
            "set the same values, or start from scratch in another folder"
        )
    fill(module, weights_of(content), path)
    return path, int(content["global_step"])


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, except the free ones, as `key=old, now new`."""
    old, new = dict(flat(then)), dict(flat(now))
    return [
        f"{key}={_short(old.get(key, 'absent'))}, now {_short(new.get(key, 'absent'))}"
        for key in old.keys() | new.keys()
        if old.get(key) != new.get(key) and not is_under(key, FREE)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"
