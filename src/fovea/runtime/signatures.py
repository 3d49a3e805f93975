"""Check a configuration against the source of its targets, without importing them: torch takes seconds to import."""

import ast
import builtins
import collections.abc
import importlib.util
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fovea.runtime import bounds
from fovea.runtime.config import targets
from fovea.runtime.errors import did_you_mean

CHECKED = ("fovea.", "pytorch_lightning.", "torch.optim.")  # others accept arguments in ways that source does not show
_NAMES = vars(builtins) | vars(typing) | vars(collections.abc) | vars(bounds)


class Signature(NamedTuple):
    """The arguments of a class or function: annotations, those without a default, whether any keyword fits."""

    annotations: Mapping[str, ast.expr | None]
    required: set[str]
    any_keyword: bool


def check_arguments(config: Mapping[str, Any]) -> None:
    """Refuse unknown and missing arguments of every target, and values out of the bounds of fovea's own.

    A target whose source does not show its arguments is left to `instantiate`.
    """
    for key, target, values in targets(config):
        if not target.startswith(CHECKED) or (signature := signature_of(target)) is None:
            continue
        given = {name: value for name, value in values.items() if not name.startswith("_")}
        known = list(signature.annotations)
        for name in given:
            if name not in known and not signature.any_keyword:
                hint = did_you_mean(name, known, f"{key}.").rstrip() or f"there are {', '.join(known)}"
                raise ValueError(f"{key}.{name} is not an argument of {target}; {hint}")
        missing = sorted(signature.required - given.keys())
        if missing and not values.get("_partial_") and "_args_" not in values:
            raise ValueError(f"{key}.{missing[0]} is missing; {target} requires it")
        if target.startswith("fovea."):
            hints = {name: _evaluated(annotation) for name, annotation in signature.annotations.items() if annotation}
            bounds.check_values(hints, given, key)


def signature_of(target: str) -> Signature | None:
    """Return the arguments of a class or function by its dotted path; None if its source does not show them."""
    node = _definition(target, set())
    if isinstance(node, ast.ClassDef):
        own = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not own:
            return _of_dataclass(node)
        node = own[-1]
    if node is None:
        return None
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults = [None] * (len(positional) - len(node.args.defaults)) + node.args.defaults + node.args.kw_defaults
    arguments = list(zip((*positional, *node.args.kwonlyargs), defaults, strict=True))
    annotations = {argument.arg: argument.annotation for argument, _ in arguments if argument.arg != "self"}
    required = {argument.arg for argument, default in arguments if default is None} - {"self"}
    return Signature(annotations, required, node.args.kwarg is not None)


def _of_dataclass(node: ast.ClassDef) -> Signature | None:
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return None  # the arguments are those of a base class
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    annotations = {ast.unparse(part.target): part.annotation for part in fields}
    return Signature(annotations, {ast.unparse(part.target) for part in fields if part.value is None}, False)


def _definition(target: str, seen: set[str]) -> ast.ClassDef | ast.FunctionDef | None:
    """Find the definition of a dotted path, through the imports of packages."""
    module, _, name = target.rpartition(".")
    file = _file(module)
    if file is None or target in seen:
        return None
    seen.add(target)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    statements = _parsed(file).body
    for node in statements:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    for node in (node for node in statements if isinstance(node, ast.ImportFrom)):
        source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            if alias.name == "*" or (alias.asname or alias.name) == name:
                found = _definition(f"{source}.{name if alias.name == '*' else alias.name}", seen)
                if found is not None:
                    return found
    return None


def _file(module: str) -> Path | None:
    """Return the source of a module, without importing its packages."""
    top, *below = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*below)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


def _evaluated(annotation: ast.expr) -> Any:
    """Return an annotation made of bounds and builtin types; Any for others."""
    try:
        return eval(compile(ast.Expression(annotation), "annotation", "eval"), dict(_NAMES))
    except Exception:  # e.g. a class of torch, which is not imported
        return Any
