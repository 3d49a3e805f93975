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
    """What to import. An importer reads only the attributes that its format needs."""

    source: Path  # the file or folder to read
    out: Path  # a fixation CSV, a data root or a store
    dataset: Callable[[], Folder] | None = None  # of the images; None without `data.root`
    screen: Screen = field(default_factory=Screen)  # that showed the images
    place: Place = field(default_factory=Place)  # where an image was on that screen
    detection: Detection | None = None  # of fixations in samples
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of published maps, see `fovea.data.maps.parameters`

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
