"""Where the real images and the reference arrays are, for the tests that want them."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that `FOVEA_TEST_DATA` names; without it the test is skipped."""
    folder = os.environ.get("FOVEA_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FOVEA_TEST_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def reference(real_data: Path) -> Path:
    """The folder of reference arrays beside the real images; without it the test is skipped."""
    folder = real_data.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    return folder
