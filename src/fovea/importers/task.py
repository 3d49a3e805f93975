"""What every importer is called with, and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fovea.data.images.folder import Folder
from fovea.data.parameters import Parameters
from fovea.importers.detection import Detection
from fovea.importers.geometry import Place, Screen


@dataclass(frozen=True)
class Task:
    """One import. An importer is called with it, and reads of it what its format needs.

    Attributes:
        source: the file or folder to read.
        out: what to write: a fixation CSV, a data root or a store, as the format has it.
        dataset: builds the data set of the images; None where no `data.root` was given.
        screen: on which the images were shown.
        place: of an image on that screen.
        detection: of fixations, where there are only samples.
        parameters: what a store is said to have been made with.
    """

    source: Path
    out: Path
    dataset: Callable[[], Folder] | None = None
    screen: Screen = field(default_factory=Screen)
    place: Place = field(default_factory=Place)
    detection: Detection = field(default_factory=Detection)
    parameters: Parameters = field(default_factory=Parameters)


@dataclass(frozen=True)
class Outcome:
    """What an importer did.

    Attributes:
        lines: what a user should know, a line each.
        warnings: the same, of what looks wrong but is not an error.
        failures: a line for each input that could not be read, by its name; all others are done.
    """

    lines: Sequence[str]
    warnings: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
