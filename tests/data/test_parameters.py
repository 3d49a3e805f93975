"""Parameters of the prepare stage: their keys, and values that make no sense."""

from dataclasses import asdict
from inspect import signature
from typing import Any

import pytest
import yaml

from fovea.data.parameters import Crf, Parameters
from fovea.prepare.refiners.crf import BACKENDS, refine
from fovea.runtime.app import config_folder


def test_flat_names_every_parameter_by_its_key() -> None:
    assert Parameters(sigma=50.0, crf=Crf(compat=3.0)).flat() == {
        "gaze.canvas": 768,
        "gaze.crf.backend": "lattice",
        "gaze.crf.compat": 3.0,
        "gaze.crf.iterations": 10,
        "gaze.crf.srgb": 13.0,
        "gaze.crf.sxy": 80.0,
        "gaze.crf.tolerance": 0.001,
        "gaze.dose": 1.0,
        "gaze.min_duration": 50.0,
        "gaze.sigma": 50.0,
    }


def test_a_whole_sigma_is_the_same_parameter() -> None:
    assert str(Parameters(sigma=70).flat()) == str(Parameters(sigma=70.0).flat())


@pytest.mark.parametrize(
    ("backend", "read"),
    [
        ("none", set()),
        ("guided", {"radius", "epsilon"}),
        ("grabcut", {"iterations", "background", "foreground"}),
        ("pydensecrf", {"compat", "sxy", "srgb", "iterations"}),
        ("torch", {"compat", "sxy", "srgb", "iterations", "tolerance"}),
    ],
)
def test_flat_leaves_out_what_the_backend_does_not_read(backend: str, read: set[str]) -> None:
    keys = {key.rpartition(".")[2] for key in Parameters(crf=Crf(backend)).flat() if key.startswith("gaze.crf.")}
    assert keys == {"backend"} | read


def test_every_backend_reads_arguments_that_exist() -> None:
    names = set(asdict(Crf())) - {"backend"}
    assert set().union(*BACKENDS.values()) == names
    assert names < set(signature(refine).parameters)


def test_the_defaults_are_those_of_refine_and_of_the_configuration() -> None:
    parameters = signature(refine).parameters
    configured = yaml.safe_load((config_folder() / "gaze" / "base.yaml").read_text())["crf"]
    assert asdict(Crf()) == {key: parameters[key].default for key in asdict(Crf())} == configured


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sigma", 0),
        ("sigma", -1.0),
        ("sigma", float("nan")),
        ("sigma", "wide"),
        ("sigma", None),
        ("canvas", 7.5),
        ("canvas", 0),
        ("min_duration", -1),
        ("min_duration", True),
        ("dose", 0),
        ("dose", 1.5),
    ],
)
def test_a_value_without_sense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"gaze\.{key}: .* is not possible"):
        Parameters(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("compat", -1),
        ("sxy", 0),
        ("srgb", float("inf")),
        ("iterations", 1.5),
        ("tolerance", -1e-9),
        ("radius", 0),
        ("epsilon", 0.0),
    ],
)
def test_a_crf_value_without_sense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"gaze\.crf\.{key}: .* is not possible"):
        Crf(**{key: value})


@pytest.mark.parametrize("values", [{"background": 0.5}, {"foreground": 0.5}, {"background": 0.6, "foreground": 0.7}])
def test_sure_regions_lie_on_both_sides_of_a_half(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"gaze\.crf\.background=.*, gaze\.crf\.foreground=.*not possible"):
        Crf(**values)


def test_of_reads_a_configuration_with_other_keys() -> None:
    crf = {"backend": "none", "compat": 2.0, "sxy": 1.0, "srgb": 2.0, "iterations": 3}
    gaze = {"sigma": 5.0, "canvas": 9, "min_duration": 0, "dose": 0.5, "crf": crf, "workers": 4}
    assert Parameters.of(gaze) == Parameters(5.0, 9, 0, Crf("none", 2.0, 1.0, 2.0, 3), 0.5)
