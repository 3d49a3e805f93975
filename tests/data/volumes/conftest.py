"""Three labeled cases, two unlabeled ones and two held-out ones of small volumes, with their list."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fovea.data.loader import as_tensors, stacked
from fovea.data.source import TrainingSamples
from fovea.data.volumes.pairs import Pairs
from fovea.data.volumes.source import Volumes

SHAPES = {"ct": (20, 18, 10), "mri": (16, 16, 6)}
SIDES = {"ct": (2.0, 2.0, 4.0), "mri": (2.5, 2.0, 7.0)}


def write(path: Path, array: np.ndarray, sides: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
    """Save an array as NIfTI in RAS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([*sides, 1.0])), path)


def patch(path: Path, **fields: Any) -> None:
    """Change fields of the header of a file as they are stored."""
    content = path.read_bytes()
    header = nib.Nifti1Header(content[:348], check=False)
    for field, value in fields.items():
        header[field] = value
    path.write_bytes(header.binaryblock + content[348:])


def change_masks(root: Path, case: str, change: Callable[[np.ndarray], Any]) -> None:
    """Change the masks of a case in place."""
    for name in SHAPES:
        path = root / "masks" / f"{case}_{name}.nii.gz"
        mask = np.asarray(nib.load(path).dataobj).copy()
        change(mask)
        write(path, mask, SIDES[name])


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


def pairs(root: Path, **options: Any) -> Pairs:
    usual = {"root": root, "list": "dataset.json", "modalities": ["ct", "mri"], "classes": 3}
    return Pairs(**{**usual, **options})


def volumes(root: Path, **options: Any) -> Volumes:
    """Return volumes with the usual settings; the options are those of the list of cases."""
    usual = {"modalities": ["ct", "mri"], "classes": 3, "labeled_fraction": None, "ignore_label": None}
    usual |= {"slices": False, "labeled_slices": None, "spacing": None}
    keys = {key: options.pop(key, value) for key, value in usual.items()}
    dataset = {"_target_": "fovea.data.volumes.pairs.Pairs", "list": "dataset.json"} | options
    intensity = {name: {"_target_": "monai.transforms.NormalizeIntensity"} for name in ("ct", "mri", "t2", "pet")}
    keys |= {"name": "pairs", "root": str(root), "dataset": dataset, "intensity": intensity, "augment": {}, "seed": 0}
    keys |= {"channels": 1, "size": [8, 8, 8], "crops": 1, "misalignment": {}, "overlap": 0.5}
    return Volumes(**keys, windows=1, batch_size=1, num_workers=0, drop_last=False)


def batch_of(samples: TrainingSamples, index: int = 0) -> dict[str, Any]:
    """Return the batch of one case in the first pass."""
    return samples.finish(as_tensors(stacked([samples[0, index]]), pin_memory=False))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the list, drawn once. Read-only: `root` is a copy."""
    root = tmp_path_factory.mktemp("volumes")
    groups = {"training": "abc", "unlabeled_training": "de", "validation": "f", "testing": "g"}
    entries = {
        key: [draw(root, name * 3, key != "unlabeled_training", ord(name)) for name in names]
        for key, names in groups.items()
    }
    content = {"labels": {"0": "background", "1": "ring", "2": "ball"}, "modalities": [*SHAPES], **entries}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    """Copy the folder of the list."""
    return Path(shutil.copytree(drawn, tmp_path, dirs_exist_ok=True))


@pytest.fixture
def content(root: Path) -> dict[str, Any]:
    """The content of the list in `root`."""
    return json.loads((root / "dataset.json").read_text())
