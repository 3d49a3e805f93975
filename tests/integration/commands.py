"""Run the real commands on ten small images: in this process, in a warm one, or in a new one."""

import csv
import importlib
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

SPLITS = {"train": "abcdef", "val": "gh", "test": "ij"}
STEPS = 3
# A training of about one second: a narrow network, few and small images, one process.
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
TWO = ["compute=ddp", "trainer.devices=2"]
PROGRESS = re.compile(r"\[\d[\d:]*<[^]]*\]$")  # how tqdm's bars end: [00:01<00:03, 2.41image/s]


@dataclass(frozen=True)
class Result:
    """Exit status and output of a command."""

    status: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr without progress bars."""
        lines = [line.rpartition("\r")[2].strip() for line in self.stderr.splitlines()]
        return [line for line in lines if line and not PROGRESS.search(line)]

    def error(self, command: str) -> str:
        """Return the one line of a refused command without its name; assert that there is exactly one."""
        assert self.status == 1, self
        assert len(self.errors) == 1, self
        start = f"fovea-{command}: "
        assert self.errors[0].startswith(start), self
        return self.errors[0].removeprefix(start)


Run = Callable[..., Result]


def invoke(command: str, *overrides: object) -> Result:
    """Run a command in this process, and restore what it changes here."""
    main = importlib.import_module(f"fovea.cli.{command}").main
    out, err = io.StringIO(), io.StringIO()
    with _restored(), redirect_stdout(out), redirect_stderr(err):
        sys.argv = [f"fovea-{command}", *map(str, overrides)]
        os.environ.pop("HYDRA_FULL_ERROR", None)  # no traceback
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return Result(status, out.getvalue(), err.getvalue())


@contextmanager
def _restored() -> Iterator[None]:
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


def process(command: str, *overrides: object, cwd: Path, cold: bool = False) -> subprocess.Popen[str]:
    """Start a command in a process of its own: forked from the warm server, or cold from a new Python."""
    python = sys.executable if cold else os.environ["FOVEA_TEST_PYTHON"]
    return subprocess.Popen(
        [python, "-m", f"fovea.cli.{command}", *map(str, overrides)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment() -> dict[str, str]:
    """Return the environment of a user's shell, with one thread."""
    quiet = {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    return {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"} | quiet


def finished(started: subprocess.Popen[str]) -> Result:
    """Wait until a process ends."""
    out, err = started.communicate(timeout=600)
    return Result(started.returncode, out, err)


def kill_when(
    started: subprocess.Popen[str], happens: Callable[[], object], sent: signal.Signals = signal.SIGKILL
) -> Result:
    """Send a signal as soon as something happens, and wait; assert that the process still runs then."""
    while started.poll() is None and not happens():
        time.sleep(0.002)
    assert started.poll() is None, finished(started)
    started.send_signal(sent)
    return finished(started)


def gaze(store: Path) -> list[str]:
    """Return the overrides that name a store of heatmaps."""
    return ["refine=none", f"store={store}"]


def folder(root: Path) -> list[str]:
    """Return the overrides that name a data set."""
    return ["data=folder", f"data.root={root}"]


def summary(path: Path) -> dict:
    """Read the summary of an evaluation."""
    return json.loads((path / "summary.json").read_text())


def metrics(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    """Read the rows of `metrics.csv`, without empty fields."""
    with (run / name).open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def last(run: Path) -> dict:
    """Load the last checkpoint of a run."""
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def same(left: object, right: object) -> bool:
    """Return whether two states are equal bit for bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def same_weights(first: Path, second: Path) -> bool:
    """Return whether two runs ended with the same weights."""
    return same(last(first)["state_dict"], last(second)["state_dict"])


def files(path: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def temporary_files(path: Path) -> list[Path]:
    """List what an interrupted command must not leave."""
    return [file for file in path.rglob("*") if file.name.endswith(".tmp") or file.name.startswith(".")]
