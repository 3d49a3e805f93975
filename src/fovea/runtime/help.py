"""`--help` and `--version`, from the YAML file of a command alone: nothing is composed."""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

HINTS = """\
fovea-{0} --cfg job      print every key with its value; takes the same keys
fovea-{0} -m KEY=A,B     run once for each value
fovea-{0} --version      print the version of fovea
docs/getting_started.md: completion in the shell. docs/extending.md: choices of your own, in --config-dir DIR."""


def config_folder() -> Path:
    """Return `configs/` of the checkout, or the copy inside the wheel."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parents[1] / "configs"


def answer(command: str, words: Sequence[str]) -> str | None:
    """Return the answer to `--help` or `--version`; None if the words ask for neither."""
    if "--version" in words:
        from fovea import __version__

        return f"fovea {__version__}"
    if not {"--help", "-h"} & set(words):
        return None
    lines = (config_folder() / f"{command}.yaml").read_text(encoding="utf-8").splitlines()
    above = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    about = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:above])
    listed = [
        textwrap.fill(
            ", ".join(f"{choice}*" if choice == default else choice for choice in choices),
            118,
            initial_indent=f"  {group + '=':<15}",
            subsequent_indent=" " * 17,
        )
        for group, default, choices in groups(command, words)
    ]
    table = ["Groups: write GROUP=CHOICE; * is the default.", *listed, ""] if listed else []
    return "\n".join([about, "", *table, HINTS.format(command)])


def own_folders(words: Sequence[str] | None = None) -> list[Path]:
    """Return the folders that `--config-dir` names, by default on the command line of this process."""
    words = sys.argv[1:] if words is None else words
    pairs = zip(words, [*words[1:], ""], strict=False)
    options = ("--config-dir", "-cd")
    return [
        *(Path(value) for word, value in pairs if word in options),
        *(Path(value) for word in words for option, _, value in [word.partition("=")] if value and option in options),
    ]


def groups(command: str, words: Sequence[str] = ()) -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield each group of a command, its default and its choices, also those of a folder after `--config-dir`."""
    import yaml

    folders = [config_folder(), *own_folders(words)]
    content = yaml.safe_load((config_folder() / f"{command}.yaml").read_text(encoding="utf-8"))
    for entry in content["defaults"]:
        if isinstance(entry, str) and entry not in ("common", "_self_"):
            yield from groups(entry, words)
        elif isinstance(entry, dict):
            [(group, default)] = entry.items()
            names = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
            yield group, default, sorted(names - {"base"})
