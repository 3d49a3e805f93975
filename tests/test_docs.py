"""Every command line in README and docs is composed as the command composes it, and those of trainings are checked."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from fovea.cli import evaluate, export
from fovea.engine import preflight
from fovea.runtime.config import config_folder, instantiate
from fovea.runtime.help import groups

from .test_configs import resolved

ROOT = Path(__file__).parents[1]
# These pages name what the reader has written.
OWN = ("adding_a_dataset", "adding_a_supervision_mode", "extending")
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in OWN)]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES += sorted(config_folder().glob("[!w]*.yaml"))
PASSED_ON = {"fovea-evaluate": evaluate.passed_on, "fovea-export": export.passed_on}
LINE = re.compile(r"^\s*(?:\$ )?(fovea-[a-z]+ .*)$")


def command_lines(page: Path) -> list[str]:
    """Return the complete command lines of a page or of the text of `--help`, with continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    text = text.replace("\n#", "\n") if page.suffix == ".yaml" else text
    for name, value in reversed(re.findall(r'^([A-Z]+)="([^"]*)"', text, re.MULTILINE)):  # variables of the shell
        text = text.replace(f"${name}", value)
    lines = [match[1] for line in text.splitlines() if (match := LINE.match(line))]
    return [line for line in lines if "…" not in line and "<" not in line]


COMMANDS, OF_TUTORIALS = (
    [
        pytest.param(line, id=f"{page.stem}: {line[:70]}")
        for page in pages
        for line in dict.fromkeys(command_lines(page))
    ]
    for pages in (PAGES, TUTORIALS)
)


def test_pages_show_commands() -> None:
    assert len(COMMANDS) > 40
    commands = {path.stem.rstrip("_") for path in (ROOT / "src/fovea/cli").glob("[!_]*.py")}
    assert {page.stem for page in PAGES if page.suffix == ".yaml" and len(command_lines(page)) == 2} == commands


def test_a_page_names_every_choice() -> None:
    rows = [
        line for line in (ROOT / "docs/choices.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    left_out = {
        f"{group}={choice}"
        for command in ("simulate", "import", "prepare", "train", "evaluate")
        for group, _, choices in groups(command)
        for choice in choices
        if len(choices) > 1 and not any(f"`{group}=`" in row and f"`{choice}`" in row for row in rows)
    }
    # Another name of multi_level, and what the published recipes share.
    assert left_out == {"supervision=gaze", "experiment=cmc", "experiment=gazemedseg"}


def keys_of(node: Any, prefix: str = "") -> Iterator[str]:
    """Return the dotted keys of nested mappings."""
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from keys_of(value, f"{prefix}{key}.")


def test_each_key_in_the_text_of_a_page_exists() -> None:
    known = {"hydra.launcher.qos"}  # of a plugin
    for path in config_folder().rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        package = re.search(r"^# @package (\S+)", text)
        folder = package[1] if package else ".".join(path.relative_to(config_folder()).parts[:-1])
        known.update(keys_of(yaml.safe_load(text), "" if folder in ("", "_global_") else f"{folder}."))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    inline = [(page.name, key) for page in pages for key in re.findall(r"`'?(\w+(?:\.\w+)+)=", page.read_text("utf-8"))]
    row_of_a_report = ("report.md", "predicted.path")
    assert len(inline) > 100
    assert {(page, key) for page, key in inline if key not in known} == {row_of_a_report}


def single_job(line: str) -> tuple[str, list[str]]:
    """Return the command and the overrides of the first job of a command line."""
    command, *words = shlex.split(line, comments=True)
    overrides = []
    for override in OverridesParser.create().parse_overrides([word for word in words if word != "-m"]):
        if override.is_interval_sweep():
            continue  # a range for a search; its syntax was parsed
        if override.is_sweep_override():
            value = next(iter(override.sweep_string_iterator()))
            overrides.append(f"{override.key_or_group}={value}")
        else:
            overrides.append(str(override.input_line))
    return command, overrides


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS + OF_TUTORIALS)
def test_command_line_composes(line: str) -> None:
    for part in line.split("&&"):
        command, overrides = single_job(part)
        if command == "fovea-train":
            preflight.check(config := resolved("train", *overrides))
            if "modalities" in config["data"]:  # lines on volumes are not run
                instantiate(config["data"], "data")
            continue
        overrides = PASSED_ON.get(command, list)(overrides)
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            compose(command.removeprefix("fovea-"), overrides=overrides)
