"""What it takes to repeat a run: the code's state, the versions, the seed and the command."""

import hashlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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


def provenance(command: str, overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """The content of a run folder's `provenance.json`, as plain values."""
    return {
        "command": shlex.join([f"fovea-{command}", *overrides]),
        "argv": sys.argv,
        "folder": str(Path.cwd()),
        "seed": seed,
        "git": git_state(Path(__file__).parent),
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


def git_state(folder: Path) -> dict[str, str] | None:
    """Commit, state ("clean" or "changed") and the hash of the difference; None outside a checkout."""
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        status = _git(folder, "status", "--porcelain")
        difference = _git(folder, "diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None
    return {
        "commit": commit,
        "state": "changed" if status else "clean",
        "diff_sha256": hashlib.sha256(difference).hexdigest(),
    }


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True).stdout
