"""Write a generated data set once, whole or not at all, even when several jobs start together."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from fovea.runtime.files import make_folder, read_mapping, unwritable, write_json

_PARAMETERS = "synthetic.json"


def draw_once(root: Path, parameters: Mapping[str, Any], draw: Callable[[Path], None]) -> None:
    """Let `draw` write a data set into `root`, absent or empty, unless it is there with the same parameters.

    The parameters, everything that affects the content, are stored in `synthetic.json`. If several jobs draw, the first
    to finish wins. A ValueError if `root` has other content, or cannot be written.
    """
    if _is_drawn(root, parameters):
        return
    temporary = make_folder(root.parent) / f".{root.name}.{uuid4().hex}.tmp"
    try:
        temporary.mkdir()
        draw(temporary)
        write_json(temporary / _PARAMETERS, parameters)
        os.rename(temporary, root)  # noqa: PTH104 (fails if another job has filled root, but replaces an empty folder)
    except OSError as error:
        if not _is_drawn(root, parameters):
            raise unwritable(root, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_drawn(root: Path, parameters: Mapping[str, Any]) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    fix = "choose another data.root or delete that folder"
    if not (stored := read_mapping(root / _PARAMETERS)):
        raise ValueError(f"data.root: {root} exists, but holds no generated images; {fix}")
    if stored != parameters:
        raise ValueError(f"data.root: {root} was generated with {stored}, not {parameters}; {fix}")
    return True
