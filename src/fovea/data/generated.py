"""Generated data appear whole or not at all, so that jobs that start together do not disturb one another."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from fovea.runtime.files import make_folder, unwritable, write_json

_PARAMETERS = "synthetic.json"


def draw_once(root: Path, parameters: Mapping[str, Any], draw: Callable[[Path], None]) -> None:
    """Draw a data set into `root`, unless it stands there already; `synthetic.json` beside it names the parameters.

    Of several jobs the first to finish wins, and all drew the same.

    Args:
        root: the folder, absent, empty, or drawn before with the same parameters.
        parameters: all that decides the content, as JSON has it (lists, not tuples).
        draw: writes the data set into an empty folder that it is given.

    Raises:
        ValueError: `root` holds something else, or cannot be written.
    """
    if _stands(root, parameters):
        return
    temporary = make_folder(root.parent) / f".{root.name}.{uuid4().hex}.tmp"
    try:
        temporary.mkdir()
        draw(temporary)
        write_json(temporary / _PARAMETERS, parameters)
        os.rename(temporary, root)  # noqa: PTH104 (fails where another job has filled root; an empty one is replaced)
    except OSError as error:
        if not _stands(root, parameters):
            raise unwritable(root, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _stands(root: Path, parameters: Mapping[str, Any]) -> bool:
    """Whether `root` holds this data set; False where there is nothing.

    Raises:
        ValueError: something else is there.
    """
    mend = "choose another data.root or delete that folder"
    try:
        if not root.exists() or (root.is_dir() and not any(root.iterdir())):
            return False
        found = json.loads((root / _PARAMETERS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"data.root: {root} exists and holds no generated images; {mend}") from error
    if found != parameters:
        raise ValueError(f"data.root: {root} was generated with {found}, not {parameters}; {mend}")
    return True
