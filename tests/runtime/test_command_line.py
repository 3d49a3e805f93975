"""Words of a command line as people type them, as Hydra reads them."""

import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fovea.runtime.command_line import (
    for_hydra,
    how_to_write,
    refuse_empty,
    refuse_hidden,
    refuse_merged,
    refuse_repeated,
    refuse_unread,
    require_groups,
    require_slurm,
)
from fovea.runtime.config import config_folder


def read(word: str) -> Any:
    override = OverridesParser.create().parse_override(for_hydra(word))
    if override.is_sweep_override():
        return [getattr(value, "text", value) for value in override.sweep_iterator()]
    return override.value()


@pytest.mark.parametrize(
    "path",
    [
        *("ü/ö", "a#b", "a=b", "set[1]", "[old]", "kvasir (copy)", "a b", "a:b", "a$b", "c:\\data", "?", "*", "{x}"),
        *("2024", "2024_01", "7", "1e3", "-1", "true", "nan", "John's", 'the "best"', "ends\\", 'a\\"b'),
    ],
)
def test_a_path_is_read_as_it_is_typed(path: str) -> None:
    for key in ("data.root", "out", "input", "labels.path", "data.predicted.path", "++data.maps.store"):
        assert read(f"{key}={path}") == path


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("data.root=~/data", f"{Path.home()}/data"),
        ("store=ü,2024", ["ü", "2024"]),
        ("runs=[logs/ü,2024]", ["logs/ü", "2024"]),
        ("refine.checkpoint=[~/ü,b]", [f"{Path.home()}/ü", "b"]),
        ("compare={full: [A, B]}", {"full": ["A", "B"]}),
        ('data.root="ü"', "ü"),
        ("ckpt_path=null", None),
        ("backbone.encoder_weights=null,imagenet", [None, "imagenet"]),
        ("labels.path=choice(a,b)", ["a", "b"]),
        ("out=${run_dir}/x", "${run_dir}/x"),
        (r"store=x/$\{seed\}", "x/${seed}"),  # as a sweep records it
        ("seed=2024", 2024),
        ("data.size=[1,2]", [1, 2]),
    ],
)
def test_the_syntax_of_hydra_stays(word: str, value: Any) -> None:
    assert read(word) == value


def test_options_stay_and_what_cannot_be_read_is_shown_as_it_must_be_written() -> None:
    words = ["-m", "--config-dir", "x#y", "~data.root"]
    assert list(map(for_hydra, words)) == words
    assert "write a text as 'a.b=\"ü\"'," in how_to_write("a.b=ü")
    assert how_to_write("ü") == "ü: not of the form key=value"


@pytest.mark.parametrize("option", [["--config-dir"], ["-cd"], ["--config-dir="]])
def test_a_file_that_one_of_fovea_hides_is_refused(option: list[str], tmp_path: Path) -> None:
    words = [*option[:-1], option[-1] + str(tmp_path)] if "=" in option[-1] else [*option, str(tmp_path)]
    (tmp_path / "loss").mkdir()
    for name in ("mine", "dice"):  # the second is a copy of fovea's, which changes nothing
        shutil.copy(config_folder() / "loss" / "dice.yaml", tmp_path / "loss" / f"{name}.yaml")
    refuse_hidden(words)
    (tmp_path / "loss" / "dice.yaml").write_text("_target_: my_lab.Dice\n")
    with pytest.raises(ValueError, match=r"loss/dice\.yaml: is not read, since fovea has a loss/dice\.yaml; give it"):
        refuse_hidden(["data=folder", *words])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("a=1 --config-dir own b=1", "^b=1: not read; write options before all words"),
        ("a=1 -m b=1", "^b=1: not read"),
        ("a=1 --bogus", "^--bogus: not read; see --help$"),
        ("a=1 --cfg", "^argument --cfg/-c: expected one argument; see --help$"),
        ("-m --config-dir own a=1 ~b", None),
        ("a=1 ~b --cfg job", None),
    ],
)
def test_options_that_hydra_would_answer_with_its_usage_are_one_line(words: str, told: str | None) -> None:
    with pytest.raises(ValueError, match=told) if told else nullcontext():
        refuse_unread(words.split())


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("compare={a:[A,B],b:[C],a:[D]}", "a"),
        ("compare={a: A, 'a': B}", "a"),
        ("+x=[{a: {b: 1, c: 2, b: 3}}]", "b"),
        ("x={a: 1},{c: 2, c: 3}", "c"),
        ("compare={a: [A], b: [A]}", None),
        ("x={a: {c: 1}, b: {c: 1}}", None),
        ("x={a:1},{a:2}", None),
        ("out=${run_dir}/{x}", None),
    ],
)
def test_a_key_that_is_twice_in_a_dictionary_is_refused(word: str, key: str | None) -> None:
    with pytest.raises(ValueError, match=f": has {key} twice") if key else nullcontext():
        refuse_repeated([word])


@pytest.mark.parametrize("word", ["loss=[dice,bce]", "backbone/unet=[smp,unet3d]", "+experiment=[laptop_kvasir]"])
def test_several_choices_of_a_group_at_once_are_refused(word: str) -> None:
    refuse_merged(["logger=[csv,wandb]", "runs=[a,b]", "seed=[0,1]", "loss=dice,bce", "data.size=[8,8]"])
    with pytest.raises(ValueError, match=rf"^{re.escape(word)}: \S+ takes one choice; give one, or run each with -m"):
        refuse_merged([word])


@pytest.mark.parametrize("word", ["hydra.run.dir=", "++data.root="])
def test_an_empty_path_is_refused(word: str) -> None:
    refuse_empty(["data.size=", "out=null", "~out", "-m", f"{word}x"])
    with pytest.raises(ValueError, match=f"^{re.escape(word)} has no value; give one"):
        refuse_empty(["seed=0", word])


def test_a_group_without_default_and_slurm_are_required_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^data is not set: add data=… \(folder, .*\), e\.g\. data=folder data"):
        require_groups("train", ["supervision=full"])
    with pytest.raises(ValueError, match=r"^experiment=null is not a choice; choose cmc, .*, or leave it out"):
        require_groups("train", ["data=folder", "experiment=null"])
    require_groups("train", ["data=folder"])
    require_groups("train", ["experiment=gaze_kvasir"])
    monkeypatch.setenv("PATH", "")
    require_slurm(["compute=local"])
    with pytest.raises(ValueError, match="compute=local"):
        require_slurm(["seed=0", "compute=slurm_ddp"])
