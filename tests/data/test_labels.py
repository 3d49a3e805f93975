"""Names of classes and the values that masks have for them."""

import pytest

from fovea.data.labels import Labels


@pytest.mark.parametrize(
    ("given", "classes", "names", "values"),
    [
        (None, 1, [], {0: 0, 1: 1}),
        (None, 3, ["class_1", "class_2"], {0: 0, 1: 1, 2: 2}),
        ({170: "cup", 0: "background", 85: "disc"}, 3, ["disc", "cup"], {0: 0, 85: 1, 170: 2}),
        ({"0": "nothing", "5": "lesion", "9": "lesion"}, 2, ["lesion"], {0: 0, 5: 1, 9: 1}),
        ({0: "lesion", 255: "background"}, 1, [], {0: 1, 255: 0}),
    ],
)
def test_numbers_of_the_classes(given: dict | None, classes: int, names: list[str], values: dict[int, int]) -> None:
    labels = Labels(given, classes)
    assert (labels.names, labels.values) == (names, values)


@pytest.mark.parametrize(
    ("given", "classes", "channels"),
    [
        (None, 1, ["foreground"]),
        (None, 3, ["background", "class_1", "class_2"]),
        ({255: "lesion", 0: "nothing"}, 1, ["lesion"]),
        ({9: "lesion", 5: "lesion", 0: "nothing", 3: "cup"}, 3, ["nothing", "cup", "lesion"]),
    ],
)
def test_names_of_the_channels_of_the_output(given: dict | None, classes: int, channels: list[str]) -> None:
    assert Labels(given, classes).channels == channels


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"disc": 1}, "labels must be names by value"),
        (["disc", "cup"], "labels must be names by value"),
        ({0: "background", 1.7: "disc", 2: "cup"}, "labels must be names by value"),
        ({0: "background", -1: "disc", 1: "cup"}, "labels must be names by value from 0 to 65535"),
        ({0: "background", 1: "disc"}, r"labels has 2 names, but classes=3; set data\.classes=2"),
        ({0: "background", 255: "background"}, "labels has 1 names, but classes=3; name the background and the str"),
        ({0: "background", 1: None, 2: "cup"}, "labels must be names by value"),
        ({0: "background", 1: "", 2: "cup"}, "labels must be names by value"),
        ({0: "background", 1: "level_1", 2: "cup"}, "labels: level_1 is the name of another column"),
        ({0: "background", 1: "surface", 2: "cup"}, "labels: surface is the name of another column of scores"),
        ({0: "background", 1: "cup_surface", 2: "cup"}, "labels: cup_surface is the name of another"),
    ],
)
def test_refused(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Labels(given, 3)
