"""Fixtures that run an importer on a small recording."""

import csv
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from fovea.data.fixations import COLUMNS
from fovea.data.images.folder import Folder
from fovea.importers.recordings.geometry import Place, Screen
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.config import config_folder, instantiate

from .exports import PLACE, SCREEN, SIZE

FULL_HD, CENTERED = Screen(*SCREEN), Place(*PLACE)
Import = Callable[..., tuple[list[tuple[str, float, float, float, float]], ImportResult]]


@cache
def _composed(format_name: str) -> Any:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("import", overrides=[f"format={format_name}", "source=x", "out=x"])
    return {group: OmegaConf.to_container(config[group], resolve=True) for group in ("format", "detection")}


def built(group: str, format_name: str, /, **keys: Any) -> Any:
    """Return the format or the detection as configured, with some keys changed."""
    config = dict(_composed(format_name)[group])
    for key, value in keys.items():
        config[key] = {**(config[key] or {}), **value} if isinstance(value, dict) else value
    return instantiate(config, group)


importer = partial(built, "format")
detection = partial(built, "detection", "generic")


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a written fixation table."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ())[: len(COLUMNS)] == COLUMNS
        return list(reader)


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Return a function that imports a source: image, x, y, start and duration of each row, and the result."""

    def run(name: str, source: Path, /, screen=FULL_HD, place=CENTERED, dataset=None, found_by=None, **keys: Any):
        found_by = found_by or detection()
        request = ImportRequest(source, tmp_path / "out.csv", dataset, screen, place, found_by)
        result = importer(name, **keys)(request)
        columns = [f"CURRENT_FIX_{column}" for column in ("X", "Y", "START", "DURATION")]
        return [(row["IMAGE"], *(float(row[name] or "nan") for name in columns)) for row in rows(request.out)], result

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[], Folder]:
    """Return a data set with the images of the session."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "data" / "images" / f"{name}.png")
    return partial(Folder, tmp_path / "data")
