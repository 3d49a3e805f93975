"""Ten small images, their store, a trained run, and ways to interrupt a training."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning import Trainer

from fovea.data.images.synthetic import draw
from fovea.engine.callbacks.last import Last

from .commands import LIGHT, SPLITS, Result, Run, folder, gaze, invoke


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw ten images with masks, split lists and simulated fixations. Read-only: `root` is a copy."""
    root = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(0)
    for split, names in SPLITS.items():
        (root / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            image, mask = draw(rng, 48)
            for subfolder, pixels in {"images": image, "masks": mask * 255}.items():
                (root / subfolder).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(root / subfolder / f"{name}.png")
    run = f"hydra.run.dir={root.parent / 'dataset_run'}"
    result = invoke("simulate", *folder(root), f"out={root / 'fixations.csv'}", run)
    assert result.status == 0, result
    return root


@pytest.fixture(scope="session")
def store(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare the store of `dataset`. Read-only."""
    path = tmp_path_factory.mktemp("store") / "store"
    result = invoke("prepare", *folder(dataset), *gaze(path), f"hydra.run.dir={path.parent / 'run'}")
    assert result.status == 0, result
    return path


@pytest.fixture(scope="session")
def trained(dataset: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Train briefly under gaze; return the run folder and the command's output. Read-only."""
    run = tmp_path_factory.mktemp("trained") / "run"
    result = invoke("train", *folder(dataset), *gaze(store), *LIGHT, "supervision=gaze", f"hydra.run.dir={run}")
    assert result.status == 0, result
    return run, result


@pytest.fixture(scope="session")
def checkpoint(trained: tuple[Path, Result]) -> str:
    """Return the override that names the best checkpoint of `trained`."""
    return f"checkpoint={trained[0] / 'checkpoints' / 'best.ckpt'}"


@pytest.fixture
def root(dataset: Path, tmp_path: Path) -> Path:
    """Copy `dataset`, for a test that changes it."""
    return Path(shutil.copytree(dataset, tmp_path / "root"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in this process, in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    return invoke


class KilledError(RuntimeError):
    """Stand for the end of the process."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of steps: the run dies after each of them."""
    steps: list[int] = []
    start = Last.on_train_batch_start

    def start_or_die(self: Last, trainer: Trainer, *args: object) -> None:
        start(self, trainer, *args)
        if trainer.global_step in steps:
            raise KilledError

    monkeypatch.setattr(Last, "on_train_batch_start", start_or_die)
    return steps


@pytest.fixture
def preempt(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return a list of steps: SIGUSR2 comes in the middle of the step after each of them."""
    steps: list[int] = []
    start = Last.on_train_batch_start

    def start_and_signal(self: Last, trainer: Trainer, *args: object) -> None:
        start(self, trainer, *args)
        if trainer.global_step in steps:
            signal.raise_signal(signal.SIGUSR2)

    def end(*args: object) -> None:
        raise KilledError

    monkeypatch.setattr(Last, "on_train_batch_start", start_and_signal)
    before = signal.signal(signal.SIGUSR2, end)
    yield steps
    assert signal.signal(signal.SIGUSR2, before) is end  # the callback restored the handler
