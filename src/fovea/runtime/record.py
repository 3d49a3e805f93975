"""What a run folder keeps to repeat its run: provenance, the recipe, and a script that follows the recipe."""

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from fovea.runtime.files import read_mapping, sha256, write_bytes, write_json, write_text
from fovea.runtime.processes import first

# Variables that change the result of a run, or the order in which it sums.
ENVIRONMENT = ("CUBLAS_WORKSPACE_CONFIG", "FOVEA_TRUSTED", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "PYTHONHASHSEED")

FAILURE = "failure.json"  # of a run that did not end: {"status": "failed" or "interrupted", "reason": one line}
OUT = "FOVEA_REPEAT_OUT"  # in the environment: a path on the command line would need Hydra's quotes too
TRAINING = "training.json"  # of a training that ended: steps, seconds, labels
RECORD = ("config.yaml", "provenance.json", "changes.diff", "recipe.yaml", "repeat.sh", FAILURE)
MAX_DIFF_BYTES = 10_000_000
MAX_UNTRACKED = 100

_SCRIPT = """\
#!/bin/sh
# Repeats this run: sh repeat.sh OUT [key=value ...]
# OUT is the new run folder. Keys change values of recipe.yaml; groups cannot be chosen any more.
# The installed code is used: provenance.json names the commit of this run, changes.diff the changes to it.
# Sums depend on the number of threads: it is that of this run, in provenance.json.
# Paths are relative to the folder in which the run was started. Whatever the run wrote outside its own folder is
# written there again.
if [ $# -eq 0 ]; then echo "repeat.sh: name a new run folder: sh repeat.sh OUT [key=value ...]" >&2; exit 1; fi
run=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 1
case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
shift
if [ -e "$out/config.yaml" ]; then echo "repeat.sh: $out is a run folder already; name another" >&2; exit 1; fi
cd -- {folder} || exit 1
python=${{PYTHON:-}}
[ -n "$python" ] || python={python}
[ -x "$(command -v -- "$python")" ] || python=python3
{exports}threads=$(sed -n 's/^  "threads": \\([0-9]*\\).*/\\1/p' "$run/provenance.json")
[ -z "$threads" ] || export OMP_NUM_THREADS="$threads"
export {out}="$out"
# Not read in "$run": beside its folder evaluate/, Hydra would take evaluate=[test] for the choice of a file there.
mkdir -p -- "$out" && cp -- "$run/recipe.yaml" "$out/" || exit 1
exec "$python" -m {module} --config-path "$out" --config-name recipe "$@"
"""


def checkpoint_files(checkpoint: object) -> list[Path]:
    """Return one file or several; of a run folder, its best checkpoint, or the last. A ValueError if none is given."""
    given = [checkpoint] if isinstance(checkpoint, str | Path) else checkpoint
    if not isinstance(given, Sequence) or not given or not all(isinstance(each, str | Path) for each in given):
        raise ValueError(f"checkpoint must be a file, a run folder or a list of them, got {checkpoint}")
    return [_best(Path(each).expanduser()) for each in given]


def digest_of_weights(checkpoint: object) -> str | None:
    """Return the hashes of `checkpoint_files`, joined by spaces; None if a file is missing."""
    paths = checkpoint_files(checkpoint)
    return " ".join(map(sha256, paths)) if all(path.is_file() for path in paths) else None


def _best(path: Path) -> Path:
    if not path.is_dir():
        return path
    names = (path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    return next((file for file in names if file.is_file()), path / "checkpoints" / "best.ckpt")


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each package; packages that are not installed are left out."""
    installed = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def dependencies() -> list[str]:
    """Return fovea and the packages that it declares, extras included."""
    declared: list[str] = []
    with suppress(PackageNotFoundError):  # run from a folder that is not installed
        declared = requires("fovea") or []
    return ["fovea", *sorted({re.split(r"[^\w.-]", requirement)[0] for requirement in declared})]


def git_state(folder: Path) -> tuple[dict[str, Any], bytes] | None:
    """Return the state of the checkout of a folder and its diff to the commit; None outside a checkout.

    An installed package inside the checkout of another project, e.g. in its `.venv`, is no part of it. The diff
    does not contain untracked files; the state lists them.
    """

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True).stdout

    try:
        git("ls-files", "--error-unmatch", ".")
        commit = git("rev-parse", "HEAD").decode().strip()
        status = os.fsdecode(git("-c", "core.quotePath=false", "status", "--porcelain"))
        diff = git("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None
    untracked = [line.removeprefix("?? ") for line in status.splitlines() if line.startswith("?? ")]
    state = {
        "commit": commit,
        "state": "changed" if status else "clean",
        "diff_sha256": hashlib.sha256(diff).hexdigest(),
        "untracked": untracked[:MAX_UNTRACKED],
    }
    return state, diff


def write_provenance(folder: Path, command: str, overrides: Sequence[str], seed: int) -> None:
    """Write `provenance.json` and, for a changed checkout, `changes.diff`, which `git apply` accepts.

    A diff above 10 MB is not written; `provenance.json` has its hash all the same.
    """
    state, diff = git_state(Path(__file__).parent) or (None, b"")
    content = {
        "command": shlex.join([f"fovea-{command}", *overrides]),
        "overrides": list(overrides),
        "argv": sys.argv,
        "folder": str(Path.cwd()),
        "seed": seed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(dependencies()),
        "git": state,
    }
    write_json(folder / "provenance.json", content)
    changes = folder / "changes.diff"
    if 0 < len(diff) <= MAX_DIFF_BYTES:
        write_bytes(changes, diff)
    else:
        changes.unlink(missing_ok=True)  # left by an earlier run in this folder


def add_threads(folder: Path) -> None:
    """Add to `provenance.json` how many threads torch used, if the run has loaded it."""
    if torch := sys.modules.get("torch"):
        path = folder / "provenance.json"
        write_json(path, read_mapping(path) | {"threads": torch.get_num_threads()})


@contextmanager
def earlier_record_kept(folder: Path) -> Iterator[None]:
    """Put the record of a training that ended back if a later start in its folder fails before it trains.

    Otherwise the scores of the first would stand beside the configuration of the second.
    """

    def ended() -> int | None:
        return (folder / TRAINING).stat().st_mtime_ns if (folder / TRAINING).exists() else None

    before, paths = ended() if first() else None, [folder / name for name in RECORD]
    kept = {path: (path.read_bytes(), path.stat().st_mode) for path in paths if before and path.exists()}
    try:
        yield
    except BaseException:
        if before and ended() == before:
            for path in paths:
                path.unlink(missing_ok=True)
            for path, (content, mode) in kept.items():
                write_bytes(path, content)
                path.chmod(mode)
        raise


def write_failure(folder: Path, status: Literal["failed", "interrupted"], reason: str) -> None:
    """Record why a run did not end. The first reason stays: a signal, or an error of one process, may end in others."""
    if not (folder / FAILURE).exists():
        with suppress(ValueError):  # the run ends with its own error
            write_json(folder / FAILURE, {"status": status, "reason": reason})


def write_recipe(folder: Path, module: str, composed: DictConfig, hydra: Any) -> None:
    """Write `recipe.yaml` and `repeat.sh`, which work without `configs/`, also after the run folder was moved.

    The script runs `python -m <module>`. The configuration keeps its interpolations, so that a changed key reaches the
    keys derived from it. `hydra` is `HydraConfig.get()` of the run.
    """
    recipe = OmegaConf.to_container(composed)
    assert isinstance(recipe, dict)
    recipe["run_dir"] = "${hydra:runtime.output_dir}"  # OUT, also where this run was a part of a job, or had run_dir=…
    recipe["hydra"] = {key: OmegaConf.to_container(hydra[key]) for key in ("job_logging", "hydra_logging")} | {
        "job": {"name": hydra.job.name, "chdir": hydra.job.chdir},
        "output_subdir": hydra.output_subdir,
        "run": {"dir": f"${{oc.env:{OUT}}}"},
    }
    write_text(folder / "recipe.yaml", OmegaConf.to_yaml(OmegaConf.create(recipe)))
    exports = [f"export {name}={shlex.quote(os.environ[name])}\n" for name in ENVIRONMENT if name in os.environ]
    places = {"folder": shlex.quote(str(Path.cwd())), "python": shlex.quote(sys.executable)}
    script = _SCRIPT.format(**places, exports="".join(exports), out=OUT, module=module)
    path = folder / "repeat.sh"
    write_text(path, script)
    mode = path.stat().st_mode
    path.chmod(mode | (mode & 0o444) >> 2)  # executable for those who may read it
