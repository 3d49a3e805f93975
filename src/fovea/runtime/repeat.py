"""What a run folder needs to repeat its run: the recipe and a command that follows it."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fovea.runtime.files import write_text

OUT = "FOVEA_REPEAT_OUT"  # by the environment: a path on the command line would need Hydra's quotes too
ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "FOVEA_TRUSTED",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
)
"""Variables that change what a run does, or in which order it sums."""

_SCRIPT = """\
#!/bin/sh
# Repeats this run: sh repeat.sh OUT [key=value ...]
# OUT is the new run folder. Keys change what recipe.yaml says; groups are no choices any more.
# The code is whatever is installed: provenance.json says which commit it was, changes.diff what it lacked.
# Paths are relative to the folder that the run was started in, and what it wrote outside its own folder is
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
{exports}export {out}="$out"
exec "$python" -m {module} --config-path "$run" --config-name recipe "$@"
"""


def write_recipe(folder: Path, module: str, composed: DictConfig, hydra: Any) -> None:
    """Write `recipe.yaml` and `repeat.sh`, which need nothing of `configs/` as it will be later.

    Args:
        folder: The run folder, which may be moved afterwards.
        module: What `python -m` is to run.
        composed: The configuration with its interpolations, so that a key that is changed reaches those made of it.
        hydra: What `HydraConfig.get()` gives in the run.

    Raises:
        ValueError: the folder cannot be written.
    """
    recipe = OmegaConf.to_container(composed)
    assert isinstance(recipe, dict)
    kept = {key: OmegaConf.to_container(hydra[key]) for key in ("job_logging", "hydra_logging")}
    job = {"name": hydra.job.name, "chdir": hydra.job.chdir}
    recipe["hydra"] = kept | {
        "job": job,
        "output_subdir": hydra.output_subdir,
        "run": {"dir": f"${{oc.env:{OUT}}}"},
    }
    write_text(folder / "recipe.yaml", OmegaConf.to_yaml(OmegaConf.create(recipe)))
    exports = [f"export {name}={shlex.quote(os.environ[name])}\n" for name in ENVIRONMENT if name in os.environ]
    script = _SCRIPT.format(
        folder=shlex.quote(str(Path.cwd())),
        python=shlex.quote(sys.executable),
        exports="".join(exports),
        out=OUT,
        module=module,
    )
    path = folder / "repeat.sh"
    write_text(path, script)
    mode = path.stat().st_mode
    path.chmod(mode | (mode & 0o444) >> 2)  # whoever may read it may run it
