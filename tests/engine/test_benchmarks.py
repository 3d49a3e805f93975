"""What benchmarks and examples import from fovea is there; they run too long to be tests."""

import ast
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
