"""Volumes from Python: as `fovea-predict` reads them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import fovea
from fovea.data.predict_request import PredictRequest
from fovea.data.volumes.source import Volumes

REFERENCE = Path(__file__).parents[1] / "reference" / "before_the_move" / "volumes.ckpt"


@pytest.fixture(scope="module")
def model():
    return fovea.load(REFERENCE)


@pytest.fixture(scope="module")
def case(model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a case whose volumes have different grids, the second in another orientation."""
    folder, rng = tmp_path_factory.mktemp("case"), np.random.default_rng(0)
    grids = [((20, 22, 9), np.diag([1.0, 1.1, 2.0, 1])), ((24, 19, 10), np.diag([-1.0, 1.2, 1.9, 1]))]
    paths = {name: folder / f"c_{name}.nii.gz" for name in model.modalities}
    for path, (shape, affine) in zip(paths.values(), grids, strict=True):
        nib.save(nib.Nifti1Image(rng.normal(100, 20, shape).astype(np.float32), affine), path)
    return paths


@pytest.mark.slow
def test_files_arrays_and_the_command_agree(model, case: dict[str, Path], tmp_path: Path) -> None:
    found = model.predict(case)
    voxels, sides = {}, {}
    for name, path in case.items():
        image = nib.as_closest_canonical(nib.load(path))
        voxels[name], sides[name] = np.asarray(image.dataobj), image.header.get_zooms()
    again, _ = model.predict([voxels, voxels], sides)
    np.testing.assert_allclose(again.probability, found.probability, atol=1e-6)
    assert found.probability.shape == (model.classes, 20, 22, 9) and found.mask.shape == (20, 22, 9)

    from fovea.engine.checkpoint import load

    module, config, *_ = load(REFERENCE, torch.device("cpu"))
    folder = next(iter(case.values())).parent
    Volumes.predict(config["data"], module, torch.device("cpu"), PredictRequest(folder, tmp_path))
    written = nib.load(tmp_path / "masks" / f"c_{model.modalities[0]}.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.as_closest_canonical(written).dataobj), found.mask)


@pytest.mark.parametrize(
    ("image", "spacing", "message"),
    [
        ("a.nii.gz", None, "image must be a mapping of volumes by modality"),
        ({"pet": "a.nii.gz"}, None, "got pet"),
        ({}, None, "got no volume"),
        ({0: np.zeros((4, 4))}, None, r"must be numbers \[D, H, W\]"),
        ({0: np.full((4, 4, 4), np.nan)}, None, "must be finite numbers in float32"),
        ({0: np.full((4, 4, 4), 1e39)}, None, "must be finite numbers in float32"),
        ({0: np.linspace(0, 3e38, 64).reshape(4, 4, 4)}, (1, 1, 2), "some values are not finite after data.intensity"),
        ({0: np.zeros((4, 4, 4))}, (1, 1), "spacing must be three sides"),
        ({0: "none.nii.gz"}, None, "no such file"),
        ({0: "none.nii.gz"}, (1, 1, 2), "spacing is for arrays .* leave out that of"),
        ({0: np.zeros((4, 4, 4))}, {"pet": (1, 1, 2)}, "leave out that of pet"),
    ],
)
def test_refused_volumes(model, image: object, spacing: object, message: str) -> None:
    if isinstance(image, dict) and 0 in image:
        image = {model.modalities[0]: image[0]}
    with pytest.raises(ValueError, match=message):
        model.predict(image, spacing)
