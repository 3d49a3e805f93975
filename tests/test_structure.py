"""The structure that docs/architecture.md promises: layers, light commands, small files and functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "fovea"
# From top to bottom; a package imports from the layers below its own.
LAYERS = [
    {"cli"},
    {"report"},
    {"engine"},
    {"prepare", "simulate", "importers", "collect"},
    {"data"},
    {"supervision"},
    {"models", "metrics", "sweeps"},
    {"losses", "pictures"},
    {"runtime"},
]
HEAVY = {"torch", "torchvision", "torchmetrics", "pytorch_lightning", "monai"}
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        assert node.level == 0, "imports are absolute"
        yield node.module
        yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in MODULES)


def at_start(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from at_start(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "finalbody"):
                yield from at_start(getattr(statement, field, []))


def imported_at_start(module: str) -> dict[str, str]:
    """Return all modules that come with the import of one, and the module of fovea that imports each."""
    reached, waiting = {module: ""}, [module]
    while waiting:
        current = waiting.pop()
        parents = [current.rsplit(".", n)[0] for n in range(1, current.count(".") + 1)]
        found = [name for statement in at_start(MODULES[current].body) for name in imported(statement)]
        for name in [*parents, *found]:
            if name not in reached:
                reached[name] = current
                waiting += [name] if name in MODULES else []
    return reached


def arrows() -> set[tuple[str, str]]:
    """Return the imports between modules of fovea, also those inside functions."""
    found = {(name, other) for name, tree in MODULES.items() for node in ast.walk(tree) for other in imported(node)}
    return {(name, other) for name, other in found if other.startswith("fovea.")}


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_layers_name_every_package_and_no_module_is_beside_them() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert packages == set().union(*LAYERS)
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_imports_point_downwards() -> None:
    depth = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    between = {(name, other) for name, other in arrows() if package_of(name) and package_of(name) != package_of(other)}
    assert [
        (name, other) for name, other in sorted(between) if depth[package_of(name)] >= depth[package_of(other)]
    ] == []


def test_images_are_read_with_volumes_and_both_with_what_is_beside_them() -> None:
    depth = {"images": 2, "volumes": 1}  # 0: the files in data/ itself
    inside = {(name, other) for name, other in arrows() if {*map(package_of, (name, other))} == {"data"}}
    place = {name: depth.get(".".join(name.split(".")[2:3]), 0) for pair in inside for name in pair}
    assert [(name, other) for name, other in sorted(inside) if place[name] < place[other]] == []


def test_modules_have_no_circle() -> None:
    below: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, other in arrows():
        if other in MODULES and name != other and not name.startswith(f"{other}."):
            below[name].add(other)
    while leaves := {name for name, others in below.items() if not others}:
        below = {name: others - leaves for name, others in below.items() if name not in leaves}
    assert below == {}


def test_engine_alone_imports_lightning() -> None:
    users = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        for other in imported(node)
        if other.split(".")[0] in ("pytorch_lightning", "lightning_fabric")
    }
    assert {name for name in users if package_of(name) != "engine"} == set()


@pytest.mark.parametrize("package", ["cli", "report", "prepare", "simulate", "importers", "collect", "runtime"])
def test_starts_without_torch(package: str) -> None:
    for module in sorted(name for name in MODULES if package_of(name) == package):
        reached = imported_at_start(module)
        heavy = {name: by for name, by in reached.items() if name.split(".")[0] in HEAVY}
        if module.startswith("fovea.prepare.refiners.") and module in heavy.values():
            continue  # a refiner on torch, imported when it is chosen
        assert heavy == {}, f"{module} reaches them through {sorted(set(heavy.values()))}"


@pytest.mark.parametrize(
    "module",
    ["cli.evaluate", "engine.checkpoint", "engine.evaluate", "engine.model", "losses.segmentation", "models.smp"],
)
def test_evaluation_of_images_starts_without_monai_and_lightning(module: str) -> None:
    reached = imported_at_start(f"fovea.{module}")
    assert [name for name in reached if name.split(".")[0] in ("monai", "pytorch_lightning", "torchmetrics")] == []


@pytest.mark.parametrize("module", [name for name in MODULES if package_of(name) == "cli"])
def test_commands_start_without_hydra(module: str) -> None:
    assert not {"hydra", "omegaconf", "numpy", "pydantic"} & imported_at_start(module).keys()


def code_lines(function: ast.FunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    first = function.body[0]
    docstring = ast.get_docstring(function) is not None and (first.end_lineno or 0) - first.lineno + 1
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_files_and_functions_are_short() -> None:
    long = [f"{file}: {lines} lines" for file in FILES if (lines := len(file.read_text().splitlines())) >= 300]
    for name, tree in MODULES.items():
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
        long += [f"{name}.{node.name}: {lines} lines" for node in functions if (lines := code_lines(node)) > 50]
    assert long == []
