"""The words of a command line, before Hydra reads them: as people type them, what must be there, how to write them."""

import os
import re
import shlex
import shutil
from argparse import ArgumentError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from fovea.runtime.help import config_folder, groups, own_folders

TEXTS = (
    *("backbone.encoder_weights", "backbone.pretrained", "baseline", "checkpoint", "ckpt_path", "compare"),
    *("data.cache.folder", "data.dataset.list", "data.gaze.path", "data.name", "data.predicted.path", "data.root"),
    "format.shown",
    *("hydra.run.dir", "hydra.sweep.dir", "input", "labels.path", "out", "refine.checkpoint", "refine.weights"),
    *("run_dir", "runs", "source", "store"),
)
"""Keys of paths and names, whose values are never numbers, booleans or Hydra's syntax."""

LISTS = ("checkpoint", "compare", "refine.checkpoint", "runs")
MERGED = ("callbacks", "logger")
"""Groups of which several choices can be used together."""
_WORD = re.compile(rf"(\+{{0,2}}(?:data\.maps\.)?({'|'.join(map(re.escape, TEXTS))})=)(.+)", re.DOTALL)
_PLAIN = re.compile(r"(?=.*[A-Za-z])[A-Za-z_./~][\w./~+-]*", re.ASCII)  # Hydra reads it without quotes
_HYDRA = re.compile(r"\?\?\?$|['\"]|.*\$\\?\{|(choice|range|interval|glob|shuffle|sort|tag)\(")


def checked(words: Sequence[str]) -> list[str]:
    """Return the words of a command line for Hydra; refuse those that it would misread, or answer with a page."""
    refuse_unread(words)
    refuse_empty(words)
    refuse_repeated(words)
    refuse_merged(words)
    refuse_hidden(words)
    require_slurm(words)
    return [for_hydra(word) for word in words]


def quoted(text: str) -> str:
    """Return a text in Hydra's quotes."""
    return QuotedString(text, Quote.double).with_quotes()


def words(keys: Mapping[str, Any]) -> list[str]:
    """Return values by dotted key as words that Hydra reads, before the quotes of a shell."""
    return [f"{key}={_text(value)}" for key, value in keys.items()]


def _text(value: object) -> str:
    """Return a value as Hydra reads it on a command line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    text = str(value)
    if isinstance(value, str | Path) and (not _PLAIN.fullmatch(text) or text.lower() in ("true", "false", "null")):
        return quoted(text)
    return text


def for_hydra(word: str) -> str:
    """Put the paths and names of a word in quotes if Hydra would read them as something else; expand `~`.

    Commas still divide the values of a sweep, and brackets hold a list of runs. Quotes, interpolations, functions of
    Hydra and null are Hydra's.
    """
    match = _WORD.fullmatch(word)
    if match is None or _HYDRA.match(match[3]):
        return word
    start, key, value = match.groups()
    if key in LISTS and value[0] in "[{":
        if value[0] == "{" or value[-1] != "]" or any(bracket in value[1:-1] for bracket in "[]{}'\""):
            return word
        return f"{start}[{','.join(map(_readable, value[1:-1].split(',')))}]"
    return start + ",".join(map(_readable, value.split(",")))


def _readable(text: str) -> str:
    """Return a text as it is, or in quotes if Hydra would read something else."""
    text = os.path.expanduser(text.strip())  # noqa: PTH111 (a Path would change the text)
    try:
        if text == "null" or OverridesParser.create().parse_override(f"key={text}").value() == text:
            return text
    except HydraException:
        pass
    return quoted(text)


def require_groups(command: str, words: Sequence[str]) -> None:
    """Name the group that Hydra found without a choice, or with null or a number: `data` has no default."""
    chosen = any(word.startswith(("experiment=", "--config-name", "-cn")) for word in words)  # may choose all groups
    for group, default, choices in groups(command, words):
        for word in words:
            if re.fullmatch(rf"\+?{group}=\[?(null|true|false|-?[\d.]+)(,.*|\])?", word):
                raise ValueError(f"{word} is not a choice; choose {', '.join(choices)}, or leave it out")
        if default == "???" and not chosen and not any(word.lstrip("+").startswith(f"{group}=") for word in words):
            fix = f"add {group}=… ({', '.join(choices)}), e.g. data=folder data.root=DIR"
            raise ValueError(f"{group} is not set: {fix}")


def refuse_hidden(words: Sequence[str]) -> None:
    """Refuse a file of `--config-dir` that has the name of one of fovea's: Hydra would read only that."""
    ours = config_folder()
    for folder in own_folders(words):
        for path in sorted(ours.rglob("*.yaml")):
            own = folder / (name := path.relative_to(ours))
            if own.is_file() and own.read_bytes() != path.read_bytes():
                raise ValueError(f"{own}: is not read, since fovea has a {name}; give it another name")


def refuse_unread(words: Sequence[str]) -> None:
    """Refuse options that Hydra does not know, or between words: it would print its usage and end with status 2."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        left = parser.parse_known_args(words)[1]
    except ArgumentError as error:
        raise ValueError(f"{error}; see --help") from error
    if left:
        fix = "see --help" if left[0].startswith("-") else "write options before all words of the form key=value"
        raise ValueError(f"{left[0]}: not read; {fix}")


def refuse_empty(words: Sequence[str]) -> None:
    """Refuse a path or name without a value, e.g. of an unset variable of a shell: it would be the folder here."""
    for word in words:
        key, equals, value = word.partition("=")
        if equals and not value and key.lstrip("+") in TEXTS:
            raise ValueError(f"{word} has no value; give one, or leave it out")


def refuse_repeated(words: Sequence[str]) -> None:
    """Refuse a key that is twice in a dictionary of the command line: Hydra would drop the first without a word."""
    for word in (word for word in words if "{" in word):
        with suppress(yaml.YAMLError):  # of what is no dictionary, e.g. an interpolation
            node = yaml.compose(f"[{re.sub(':(?! )', ': ', word.partition('=')[2])}]")  # in YAML, {a:b} is a set
            for keys in _keys(node):
                if twice := [key for key in keys if keys.count(key) > 1]:
                    raise ValueError(f"{word}: has {twice[0]} twice; give each its own name")


def refuse_merged(words: Sequence[str]) -> None:
    """Refuse several choices of a group at once: Hydra would merge their keys, which is neither one nor their sum."""
    for word in words:
        match = re.fullmatch(r"\+{0,2}([a-z/]+)=\[(.*)\]", word)
        if match and match[1] not in MERGED and (config_folder() / match[1]).is_dir():
            fix = f"give one, or run each with -m {match[1]}={match[2]}"
            raise ValueError(f"{word}: {match[1]} takes one choice; {fix}")


def _keys(node: yaml.Node | None) -> Iterator[list[str]]:
    """Yield the keys of each dictionary in a text of YAML."""
    if isinstance(node, yaml.MappingNode):
        yield [str(key.value) for key, _ in node.value]
    for below in node.value if isinstance(node, yaml.CollectionNode) else ():
        for each in below if isinstance(below, tuple) else (below,):
            yield from _keys(each)


def require_slurm(words: Sequence[str]) -> None:
    """Refuse `compute=slurm…` on a machine without SLURM."""
    wanted = any(word.startswith(("compute=slurm", "hydra/launcher=submitit_slurm")) for word in words)
    if wanted and shutil.which("sbatch") is None:
        raise ValueError("there is no SLURM here (no sbatch): start from a node of the cluster, or set compute=local")


def how_to_write(word: str) -> str:
    """Return what is wrong with a word that Hydra cannot read, and how to write it."""
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word}: not of the form key=value"
    text = shlex.quote(f"{key}={quoted(value)}")
    return (
        f"{word}: Hydra cannot read this value; write a text as {text}, and close the brackets of a list: 'key=[1, 2]'"
    )
