"""Run an importer on a small recording."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from fovea.data.fixations import COLUMNS
from fovea.data.images.folder import Folder
from fovea.importers.recordings.geometry import Place, Screen
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.config import config_folder, instantiate

from .exports import PLACE, SCREEN, SIZE

FULL_HD, CENTRED = Screen(*SCREEN), Place(*PLACE)
Import = Callable[..., tuple[list[tuple[str, float, float, float, float]], ImportResult]]


def importer(name: str, /, **keys: Any) -> Any:
    """The importer of a format as it is shipped, with some keys changed."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config: Any = compose("import", overrides=[f"format={name}"])["format"]
    return instantiate(
        {
            **config,
            **{key: {**config[key], **value} if isinstance(value, dict) else value for key, value in keys.items()},
        }
    )


def rows(path: Path) -> list[dict[str, str]]:
    """The table as it was written."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return list(reader)


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Imports a source: image, x, y, start, duration of each row, and the outcome."""

    def run(
        name: str,
        source: Path,
        /,
        *,
        screen: Screen = FULL_HD,
        place: Place = CENTRED,
        dataset=None,
        detection=None,
        **keys: Any,
    ):
        given = {"detection": detection} if detection else {}
        task = Task(source, tmp_path / "out.csv", dataset=dataset, screen=screen, place=place, **given)
        outcome = importer(name, **keys)(task)
        columns = [f"CURRENT_FIX_{name}" for name in ("X", "Y", "START", "DURATION")]
        table = [(row["IMAGE"], *(float(row[name] or "nan") for name in columns)) for row in rows(task.out)]
        return table, outcome

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[], Folder]:
    """A data set with both images of the session."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "data" / "images" / f"{name}.png")
    return partial(Folder, tmp_path / "data")
