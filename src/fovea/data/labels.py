"""The classes of a data set: their names, and the values that mask files have for them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

Classes = Annotated[int, Field(strict=True, ge=1, le=256)]  # predicted masks have 8 bits
_HIGHEST = 65535  # of 16 bits


class Labels:
    """Names of classes by the value in mask files, e.g. `{0: background, 85: disc, 170: cup}`.

    Class 0 is the one named `background`, otherwise that of the lowest value; the others are numbered by their lowest
    value. Several values may have one name. If none are given, the values are the classes, and have no names of their
    own. `classes` are the channels of the network's output; 1 is background and foreground too. `where` names the
    labels in errors: of a value that is not a whole number, a reserved name, or another number of names.
    """

    def __init__(self, given: Mapping[Any, Any] | None, classes: int, where: str = "labels") -> None:
        number = max(classes, 2)
        if given is None:
            own = {1: "foreground"} if classes == 1 else {label: f"class_{label}" for label in range(1, number)}
            given = {0: "background"} | own
        try:
            by_value = dict(
                sorted((int(str(value)), "" if name is None else str(name)) for value, name in given.items())
            )
        except (AttributeError, TypeError, ValueError):
            by_value = {}
        if not by_value or min(by_value) < 0 or max(by_value) > _HIGHEST or not all(by_value.values()):
            form = "{0: background, 1: lesion}"
            raise ValueError(f"{where} must be names by value from 0 to {_HIGHEST}, as {form}, got {given}")
        names = sorted(dict.fromkeys(by_value.values()), key=lambda name: name != "background")  # keeps the order
        # Tables have a column for each class and score (cup_dice) beside those of outputs, and of the surface Dice.
        taken = ("prediction", "surface", *(f"{name}_surface" for name in names))
        if reserved := [name for name in names if name in taken or name.startswith("level_")]:
            raise ValueError(f"{where}: {reserved[0]} is the name of another column of scores; choose another name")
        if len(names) != number:
            fix = f"set data.classes={len(names)}" if len(names) > 1 else "name the background and the structures"
            raise ValueError(f"{where} has {len(names)} names, but classes={classes}; {fix}")
        self.channels = names[-classes:]  # of the network's output
        self.names = names[1:] if classes > 1 else []  # without the background; none for one structure
        self.values = {value: names.index(name) for value, name in by_value.items()}
