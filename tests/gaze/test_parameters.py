"""Parameters of the prepare stage: their keys, and values that make no sense."""

from typing import Any

import pytest

from fovea.gaze.parameters import Crf, Parameters
from fovea.runtime.errors import FoveaError


def test_flat_names_every_parameter_by_its_key() -> None:
    assert Parameters(sigma=50.0, crf=Crf(compat=3.0)).flat() == {
        "gaze.canvas": 768,
        "gaze.crf.backend": "pydensecrf",
        "gaze.crf.compat": 3.0,
        "gaze.crf.iterations": 10,
        "gaze.crf.srgb": 13.0,
        "gaze.crf.sxy": 80.0,
        "gaze.min_duration": 50.0,
        "gaze.sigma": 50.0,
    }


def test_a_whole_sigma_is_the_same_parameter() -> None:
    assert str(Parameters(sigma=70).flat()) == str(Parameters(sigma=70.0).flat())


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
    ],
)
def test_a_value_without_sense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(FoveaError, match=rf"gaze\.{key}: .* is not possible"):
        Parameters(**{key: value})


@pytest.mark.parametrize(("key", "value"), [("compat", -1), ("sxy", 0), ("srgb", float("inf")), ("iterations", 1.5)])
def test_a_crf_value_without_sense_is_refused(key: str, value: Any) -> None:
    with pytest.raises(FoveaError, match=rf"gaze\.crf\.{key}: .* is not possible"):
        Crf(**{key: value})


def test_of_reads_a_configuration_with_other_keys() -> None:
    crf = {"backend": "none", "compat": 2.0, "sxy": 1.0, "srgb": 2.0, "iterations": 3}
    gaze = {"sigma": 5.0, "canvas": 9, "min_duration": 0, "crf": crf, "workers": 4}
    assert Parameters.of(gaze) == Parameters(5.0, 9, 0, Crf("none", 2.0, 1.0, 2.0, 3))
