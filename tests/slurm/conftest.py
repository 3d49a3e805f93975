"""Start a SLURM of two nodes for the tests, and stop it after them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start SLURM and name it in the environment, or skip the test where its programs are missing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(name, path=path)]:
        pytest.skip(f"{missing[0]} is missing: apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        patch.setenv("NODES", "2")
        patch.setenv("OMP_NUM_THREADS", "1")  # for jobs that sbatch starts: another number sums in another order
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
        patch.setenv("FOVEA_TRUSTED", "waiting")
        started = subprocess.run([SCRIPTS / "local_slurm.sh", "start", folder], capture_output=True, text=True)
        try:
            assert started.returncode == 0, started.stderr
            patch.setenv("SLURM_CONF", started.stdout.strip().removeprefix("export SLURM_CONF="))
            yield
        finally:
            subprocess.run([SCRIPTS / "local_slurm.sh", "stop", folder], check=True)
