"""Published checkpoints, made up: names and shapes as published, weights from a formula."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="session")
def filled() -> Callable[[str], dict[str, Tensor]]:
    """Gives the checkpoint of a layout by the name of its file."""
    specification = importlib.util.spec_from_file_location("fill", REFERENCE / "fill.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return lambda layout: module.fill(json.loads((REFERENCE / layout).read_text()))
