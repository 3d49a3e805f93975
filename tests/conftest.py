"""Folders of real images and reference arrays, and the warm Python of the command tests."""

import gc
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import warm

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ["OMP_NUM_THREADS"] = "1"  # as in the processes of commands: results depend on it to the last bit
gc.disable()  # until all is imported, which leaves little garbage: a sixth of that time
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
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Collect garbage from here on."""
    gc.enable()


@pytest.fixture
def as_in_a_shell() -> Iterator[None]:
    """Undo what nohup, or an `&` of a script, does to the signals of pytest: it would ignore them."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        **dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL),
    }
    before = {each: signal.signal(each, handler) for each, handler in usual.items()}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


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


FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="session")
def browser() -> list[str]:
    """Return the command of Chromium without a window; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here")
    return [program, *FLAGS]


@pytest.fixture(scope="session")
def browse(browser: list[str]) -> Callable[[Path], str]:
    """Return the DOM of a page after its scripts have run; what they leave for later is not waited for."""

    def dumped(page: Path) -> str:
        arguments = [*browser, "--dump-dom", f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
        return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120).stdout

    return dumped


@pytest.fixture(scope="session")
def filled() -> Callable[[str], dict[str, Any]]:
    """Gives a published checkpoint, made up, by the file of its layout: weights from a formula."""
    reference = Path(__file__).parent / "reference"
    specification = importlib.util.spec_from_file_location("fill", reference / "fill.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return lambda layout: module.fill(json.loads((reference / layout).read_text()))
