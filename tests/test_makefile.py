"""The targets of the Makefile."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOGGED = '#!/bin/sh\necho "$0 $*" >> called\n'


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_setup_completes_an_environment_that_was_left_without_pip(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    for name, code in {
        ".venv/bin/python": f'{LOGGED}[ -e pip ] || [ "$2" != pip ]',
        ".venv/bin/uv": LOGGED,
        "python": f'{LOGGED}[ "$2" != venv ] || touch pip',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
        (tmp_path / name).chmod(0o755)
    for _ in range(2):
        subprocess.run(["make", "setup", "PYTHON=./python"], cwd=tmp_path, check=True, capture_output=True)
    called = (tmp_path / "called").read_text()
    assert called.count("./python -m venv .venv") == 1 and called.count("uv pip install") == 2
