"""What the manifest of a store records of the configuration, and the default path of a store."""

from pathlib import Path

from fovea.data.maps import parameters, store_path


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
    assert parameters(labels | {"fuse": "agreement"}, refine) == values | {"labels.fuse": "agreement"}


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
