"""Three labelled cases, two unlabelled ones and two held-out pairs of small volumes, as a list names them."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

LABELS = {"0": "background", "1": "ring", "2": "ball"}
SHAPES = {"ct": (20, 18, 10), "mri": (16, 16, 6)}
SIDES = {"ct": (2.0, 2.0, 4.0), "mri": (2.5, 2.0, 7.0)}


def write(path: Path, array: np.ndarray, sides: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
    """Save an array as NIfTI in RAS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([*sides, 1.0])), path)


def draw(root: Path, case: str, masks: bool, seed: int) -> dict[str, str]:
    """Draw a case and return its entry of the list."""
    entry = {}
    rng = np.random.default_rng(seed)
    for name, shape in SHAPES.items():
        grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
        radius = np.sqrt((grid**2).sum(axis=0))
        mask = (radius < 0.7).astype(np.uint8) + (radius < 0.4)
        volume = 100 + 300.0 * mask + rng.normal(0, 10, shape)
        entry[f"img_{name}"] = f"./images/{case}_{name}.nii.gz"
        write(root / entry[f"img_{name}"], volume.astype(np.float32), SIDES[name])
        if masks:
            entry[f"mask_{name}"] = f"./masks/{case}_{name}.nii.gz"
            write(root / entry[f"mask_{name}"], mask, SIDES[name])
    return entry


@pytest.fixture
def content(tmp_path: Path) -> dict:
    """What the list says; the files are there."""
    groups = {"training": "abc", "unlabeled_training": "de", "validation": "f", "testing": "g"}
    entries = {
        key: [draw(tmp_path, name * 3, key != "unlabeled_training", ord(name)) for name in names]
        for key, names in groups.items()
    }
    return {"labels": dict(LABELS), "modalities": [*SHAPES], **entries}


@pytest.fixture
def root(content: dict, tmp_path: Path) -> Path:
    """The folder of the list."""
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path
