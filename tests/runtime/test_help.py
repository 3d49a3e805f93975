"""`--help` and `--version`, from the YAML file of a command."""

from pathlib import Path

import pytest

from fovea import __version__
from fovea.runtime.help import answer, config_folder, groups

COMMANDS = sorted(path.stem for path in config_folder().glob("*.yaml") if "hydra:" in path.read_text())
COMMANDS.remove("common")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_for_with_examples_keys_and_groups(command: str) -> None:
    text = answer(command, ["--help"])
    assert text is not None and text.count(f"\n  fovea-{command} ") == 2 and "\nKeys that matter:\n" in text
    assert text.split("\n\n")[0].count(". ") + text.split("\n\n")[0].count(".\n") <= 2
    for group, default, choices in groups(command):
        assert f"\n  {group}=" in text and default in (None, "???", *choices)


def test_version_and_choices_of_a_folder_of_your_own(tmp_path: Path) -> None:
    assert answer("train", ["--version"]) == f"fovea {__version__}"
    assert answer("train", ["data=folder"]) is None
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").touch()
    assert "mine" in {group: choices for group, _, choices in groups("train", ["-cd", str(tmp_path)])}["data"]
    assert "mine" in str(answer("train", ["--help", f"--config-dir={tmp_path}"]))
