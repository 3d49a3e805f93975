"""Folders of real images and reference arrays, and the warm Python of the command tests."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml

from . import warm

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # composes in half the time


def pytest_configure(config: pytest.Config) -> None:
    """Start the server of `warm.py`, once for all processes of pytest; it imports nothing before its first request."""
    if "FOVEA_TEST_PYTHON" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="fovea-warm-"))
    server, python = warm.start(folder)
    os.environ["FOVEA_TEST_PYTHON"] = str(python)

    def stop() -> None:
        server.communicate()
        shutil.rmtree(folder)
        del os.environ["FOVEA_TEST_PYTHON"]

    config.add_cleanup(stop)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what opens a page in a browser as slow."""
    for item in items:
        if "browse" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images that `FOVEA_TEST_DATA` names, or skip the test."""
    folder = os.environ.get("FOVEA_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FOVEA_TEST_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def reference(real_data: Path) -> Path:
    """Return the folder of reference arrays beside the real images, or skip the test."""
    folder = real_data.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    return folder
