"""Values out of range are refused by the name of their key."""

import pytest

from fovea.metrics.scoring import Scoring

GOOD = {"surface_tolerance": 2.0, "size_bounds": [0.02, 0.1], "calibration_bins": 15, "resamples": 10, "seed": 0}


@pytest.mark.parametrize(
    "changed", [{}, {"surface_tolerance": 0}, {"size_bounds": None}, {"size_bounds": []}, {"resamples": 0}]
)
def test_values_in_range_are_kept(changed: dict) -> None:
    scoring = Scoring(**GOOD | changed)
    assert all(getattr(scoring, key) == value for key, value in changed.items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("surface_tolerance", -1),
        ("surface_tolerance", float("nan")),
        ("surface_tolerance", float("inf")),
        ("surface_tolerance", "2mm"),
        ("surface_tolerance", None),
        ("size_bounds", [0.1, 0.02]),
        ("size_bounds", [0.1, 0.1]),
        ("size_bounds", [0.0, 0.1]),
        ("size_bounds", [0.1, 1.0]),
        ("size_bounds", ["a"]),
        ("size_bounds", 3),
        ("calibration_bins", 0),
        ("calibration_bins", 1.5),
        ("calibration_bins", True),
        ("resamples", -1),
        ("seed", -1),
        ("seed", None),
    ],
)
def test_a_value_out_of_range_is_named(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^scoring\.{key}=.*: give "):
        Scoring(**GOOD | {key: value})
