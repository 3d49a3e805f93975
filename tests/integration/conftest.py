"""The real commands, in this process or one of their own, on a data set of ten small images."""

import importlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from PIL import Image
from pytorch_lightning import Trainer

from fovea.data.images.synthetic import draw
from fovea.engine.callbacks.last import Last

SPLITS = {"train": "abcdef", "val": "gh", "test": "ij"}
STEPS = 3
# Small enough for seconds: a narrow network, few and small images, one process.
LIGHT = [
    "backbone=basic_unet",
    "backbone.features=[4,4,4,4,4,4]",
    "data.size=32",
    "data.batch_size=4",
    "data.num_workers=0",
    "optimizer.lr=0.01",
    f"trainer.max_steps={STEPS}",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "callbacks.progress=null",
    "scheduler=constant",
]


PROGRESS = re.compile(r"\[\d[\d:]*<[^]]*\]$")  # how tqdm's bars end: [00:01<00:03, 2.41image/s]


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        status: exit status.
        stdout: log lines, and whatever else was printed.
        stderr: progress bars, and the line of a failure.
    """

    status: int
    stdout: str
    stderr: str

    @property
    def complaints(self) -> list[str]:
        """The lines of stderr that are no progress bar."""
        lines = [line.rpartition("\r")[2].strip() for line in self.stderr.splitlines()]
        return [line for line in lines if line and not PROGRESS.search(line)]

    def refusal(self, command: str) -> str:
        """The one line of a refused command without its name; an assertion fails where there is not exactly one."""
        assert self.status == 1, self
        assert len(self.complaints) == 1, self
        start = f"fovea-{command}: "
        assert self.complaints[0].startswith(start), self
        return self.complaints[0].removeprefix(start)


Run = Callable[..., Outcome]


def invoke(command: str, *overrides: object) -> Outcome:
    """Run a command in this process as its script would, and put back what it changes here."""
    main = importlib.import_module(f"fovea.cli.{command}").main
    out, err = io.StringIO(), io.StringIO()
    with _unchanged(), redirect_stdout(out), redirect_stderr(err):
        sys.argv = [f"fovea-{command}", *map(str, overrides)]
        os.environ.pop("HYDRA_FULL_ERROR", None)  # the traceback is for those who ask for it
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


@contextmanager
def _unchanged() -> Iterator[None]:
    argv, environment = sys.argv, dict(os.environ)
    handlers, level = logging.root.handlers[:], logging.root.level
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)
        for handler in logging.root.handlers:
            if handler not in handlers:
                handler.close()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None


def process(command: str, *overrides: object, cwd: Path) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"fovea.cli.{command}", *map(str, overrides)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment() -> dict[str, str]:
    """What a user's shell would have, and one thread."""
    quiet = {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    return {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"} | quiet


def finished(started: subprocess.Popen[str]) -> Outcome:
    """Wait for such a process to end."""
    out, err = started.communicate(timeout=600)
    return Outcome(started.returncode, out, err)


def gaze(store: Path) -> list[str]:
    """The overrides that name a store of heatmaps."""
    return ["refine=none", f"store={store}"]


def folder(root: Path) -> list[str]:
    """The overrides that name a data set."""
    return ["data=folder", f"data.root={root}"]


def summary(path: Path) -> dict:
    """The summary of an evaluation."""
    return json.loads((path / "summary.json").read_text())


def temporary_files(path: Path) -> list[Path]:
    """What a command that was cut short must not leave."""
    return [each for each in path.rglob("*") if each.name.endswith(".tmp") or each.name.startswith(".")]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of odd sizes with masks, lists of splits and simulated fixations. Read-only: see `root`."""
    root = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for split, names in SPLITS.items():
        (root / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            image, mask = draw(rng, 48)
            for kind, pixels in {"images": image, "masks": mask * 255}.items():
                (root / kind).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(root / kind / f"{name}.png")
    done = invoke(
        "simulate", *folder(root), f"out={root / 'fixations.csv'}", f"hydra.run.dir={root.parent / 'made_run'}"
    )
    assert done.status == 0, done
    return root


@pytest.fixture(scope="session")
def store(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `made`. Read-only."""
    path = tmp_path_factory.mktemp("store") / "store"
    done = invoke("prepare", *folder(made), *gaze(path), f"hydra.run.dir={path.parent / 'run'}")
    assert done.status == 0, done
    return path


@pytest.fixture(scope="session")
def trained(made: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The run folder of a short training under gaze, and what the command said. Read-only."""
    import torch

    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("trained") / "run"
    done = invoke("train", *folder(made), *gaze(store), *LIGHT, "supervision=gaze", f"hydra.run.dir={run}")
    assert done.status == 0, done
    return run, done


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "root"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return invoke


class KilledError(RuntimeError):
    """Stands for the end of the process."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give it numbers of steps, and the run dies before the step after so many."""
    at: list[int] = []
    start = Last.on_train_batch_start

    def start_or_die(self: Last, trainer: Trainer, *args: object) -> None:
        start(self, trainer, *args)
        if trainer.global_step in at:
            raise KilledError

    monkeypatch.setattr(Last, "on_train_batch_start", start_or_die)
    return at
