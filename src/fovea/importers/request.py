"""The argument and the result of every importer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovea.data.images.folder import Folder
from fovea.importers.recordings.detection import Detection
from fovea.importers.recordings.geometry import Place, Screen


@dataclass(frozen=True)
class ImportRequest:
    """What to import. An importer reads only the attributes that its format needs.

    Attributes:
        source: The file or folder to read.
        out: What to write: a fixation CSV, a data root or a store.
        dataset: Builds the data set of the images; None without `data.root`.
        screen: The screen that showed the images.
        place: Where an image was on that screen.
        detection: Finds fixations in samples.
        parameters: What published maps were made with, see `fovea.data.maps.parameters`.
    """

    source: Path
    out: Path
    dataset: Callable[[], Folder] | None = None
    screen: Screen = field(default_factory=Screen)
    place: Place = field(default_factory=Place)
    detection: Detection | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse to replace the source."""
        if self.out.resolve() == self.source.resolve():
            raise ValueError(f"out: {self.out} is the source, which would be lost; set another out")


@dataclass(frozen=True)
class ImportResult:
    """What an importer did: information, warnings, and the reason for each input that could not be read, by name."""

    lines: Sequence[str]
    warnings: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
