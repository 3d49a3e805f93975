"""What the manifest of a store records of the configuration, and the default path of a store."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fovea.data.maps import built, parameters, prepare_command, store_path
from fovea.runtime.config import config_folder, plain, resolve


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("round", "x", r"refine\.round must be a whole number, got 'x'"),
        ("round", 0, r"refine\.round must be at least 1, got 0"),
        ("network.axes", -1, r"refine\.network\.axes must be a list in brackets, got -1"),
    ],
)
def test_refuses_wrong_values_of_a_refiner(key: str, value: Any, message: str) -> None:
    refine = plain(OmegaConf.load(config_folder() / "refine" / "model.yaml"), resolve=False)
    group, _, name = key.rpartition(".")
    (refine[group] if group else refine)[name] = value
    with pytest.raises(ValueError, match=f"^{message}"):
        built(refine, "refine")


def test_parameters_are_those_that_maps_depend_on() -> None:
    labels = {"_target_": "T", "name": "gaze", "folder": "f", "path": "p", "thresholds": [0.5]}
    labels |= {"sigma": 70.0, "dose": 0.5}
    refine = {"_target_": "T", "name": "lattice", "folder": "f", "tolerance": 0.001}
    values = parameters(labels, refine)
    assert values == {
        "labels": "gaze",
        "labels.dose": 0.5,
        "labels.sigma": 70,
        "refine": "lattice",
        "refine.tolerance": 0.001,
    }
    assert str(values) == str(parameters(labels | {"sigma": 70, "fuse": "mean"}, refine))
    assert parameters(labels, refine, {"range": None, "exif": "ignore"}) == values  # of stores of earlier versions
    assert parameters(labels | {"fuse": "agreement"}, refine) == values | {"labels.fuse": "agreement"}


@pytest.mark.parametrize(
    "overrides",
    [
        [
            "data=kvasir",
            "refine=model",
            "refine.checkpoint=[/a/best.ckpt,'/b c/d.ckpt']",
            "data.range=[0,4095]",
            "data.exif=apply",
        ],
        [
            "data=kvasir",
            "refine=promptable",
            "refine.base.compat=2",
            "refine.prompts=[{map:label,threshold:0.5,margin:0.1}]",
        ],
        ["data=folder", "data.name='007'", "labels=boxes", "labels.path='/x=1/ü.csv'", "labels.corner=0.3"],
    ],
)
def test_the_command_of_an_error_makes_the_same_maps(overrides: list[str]) -> None:
    def composed(words: list[str]) -> dict[str, Any]:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return resolve(compose("prepare", overrides=["run_dir=RUN", *words]))

    wanted = composed(["data.root=/data", *overrides])
    groups = {name: wanted[name] for name in ("labels", "refine")}
    command, *words = shlex.split(prepare_command({**wanted["data"], "maps": groups}, "/my store"))
    made = composed(words)
    assert (command, made["store"], made["data"]["name"]) == ("fovea-prepare", "/my store", wanted["data"]["name"])
    same = (parameters(each["labels"], each["refine"], each["data"]) for each in (made, wanted))
    assert next(same) == next(same) and made["labels"]["path"] == wanted["labels"]["path"]


@pytest.mark.parametrize(("given", "folder"), [(["--config-dir", "my configs"], "my configs"), ([], "DIR")])
def test_the_command_of_a_choice_of_yours_names_its_folder(
    given: list[str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["fovea-train", *given, "labels=circles"])
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = resolve(compose("prepare", overrides=["run_dir=RUN", "data=folder", "data.root=/data"]))
    groups = {"labels": {"name": "circles", "path": "c.csv", "soft": 2.0}, "refine": config["refine"]}
    command = shlex.split(prepare_command({**config["data"], "maps": groups}, "S"))
    assert command[:3] == ["fovea-prepare", "--config-dir", folder]
    assert {"labels=circles", "labels.soft=2.0", "store=S"} < {*command}


def test_default_path_names_the_labels(tmp_path: Path) -> None:
    labels = tmp_path / "a.csv"
    labels.write_bytes(b"abc")
    template = f"{tmp_path}/[x]_{{labels}}"
    path = store_path(template, str(labels))
    assert path == tmp_path / "[x]_ba7816bf"  # the SHA-256 of abc
    assert store_path(f"{tmp_path}/x", str(labels)) == tmp_path / "x"
    labels.unlink()
    assert store_path(template, str(labels)).name == "[x]_unknown"
    path.mkdir()
    assert store_path(template, None) == path
    (tmp_path / "[x]_ba7816bf_f8411c5c").mkdir()  # a proposed name of a store whose labels changed: no candidate
    assert store_path(template, None) == path
    (tmp_path / "[x]_0123abcd").mkdir()
    assert store_path(template, None).name == "[x]_unknown"
