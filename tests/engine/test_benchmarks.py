"""What benchmarks and examples import from fovea is there; they run too long to be tests."""

import ast
import runpy
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("examples/*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_imports_are_there(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fovea"):
            module, names = import_module(node.module), [alias.name for alias in node.names]
            there = {name for name in names if hasattr(module, name) or find_spec(f"{node.module}.{name}")}
            assert {*names} == there


@pytest.mark.parametrize("name", ["prepare", "thresholds"])
def test_a_missing_folder_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", [name, *[str(tmp_path / "none")] * 2])
    with pytest.raises(SystemExit, match=f"^[^\n]*{tmp_path}/none[^\n]*$"):
        runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name="__main__")
