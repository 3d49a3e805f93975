"""What it takes to repeat a run: the code's state, the versions, the seed and the command."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fovea.runtime.files import write_bytes, write_json

PACKAGES = (
    "fovea",
    "albumentations",
    "hydra-core",
    "monai",
    "numba",
    "numpy",
    "omegaconf",
    "opencv-python-headless",
    "pillow",
    "pydensecrf2",
    "pytorch-lightning",
    "scipy",
    "segmentation-models-pytorch",
    "torch",
    "torchmetrics",
    "torchvision",
)


_MOST_BYTES = 10_000_000
_MOST_NAMES = 100


def provenance(command: str, overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """The content of a run folder's `provenance.json` apart from the state of the checkout, as plain values."""
    return {
        "command": shlex.join([f"fovea-{command}", *overrides]),
        "overrides": list(overrides),
        "argv": sys.argv,
        "folder": str(Path.cwd()),
        "seed": seed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(PACKAGES),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Installed versions by package; those that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> tuple[dict[str, Any], bytes] | None:
    """State of the checkout that a folder is in, and how it differs from its commit; None outside a checkout.

    The state is the commit, `clean` or `changed`, the hash of the difference, and the files (or whole folders) that
    git does not know, which no difference shows.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        status = os.fsdecode(_git(folder, "-c", "core.quotePath=false", "status", "--porcelain"))
        difference = _git(folder, "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None
    unknown = [line.removeprefix("?? ") for line in status.splitlines() if line.startswith("?? ")]
    state = {
        "commit": commit,
        "state": "changed" if status else "clean",
        "diff_sha256": hashlib.sha256(difference).hexdigest(),
        "untracked": unknown[:_MOST_NAMES],
    }
    return state, difference


def write_provenance(folder: Path, command: str, overrides: Sequence[str], seed: int) -> None:
    """Write `provenance.json` and, where the checkout differs from its commit, `changes.diff` (`git apply` takes it).

    A difference of more than 10 MB is not written; its hash is in `provenance.json` all the same.

    Raises:
        ValueError: the folder cannot be written.
    """
    found = git_state(Path(__file__).parent)
    state, difference = found if found is not None else (None, b"")
    write_json(folder / "provenance.json", provenance(command, overrides, seed) | {"git": state})
    changes = folder / "changes.diff"
    if 0 < len(difference) <= _MOST_BYTES:
        write_bytes(changes, difference)
    else:
        changes.unlink(missing_ok=True)  # of a run that was started here before


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True).stdout
