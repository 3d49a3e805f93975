"""Heatmap and CRF against arrays of the published code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data.images.files import read_image
from fovea.prepare.labels.heatmap import heatmap
from fovea.prepare.refiners.densecrf import refine


@pytest.fixture(params=["gaze_kvasir_0", "gaze_kvasir_1", "gaze_prostate_0"])
def published(request: pytest.FixtureRequest, reference: Path) -> dict[str, Any]:
    path = reference / f"{request.param}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_heatmap(published: dict[str, Any]) -> None:
    expected = published["heatmap_u16"] / 65535
    ours = heatmap(*published["fixations"].T, expected.shape, sigma=float(published["sigma"]))
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.parametrize("backend", ["lattice", "torch", "pydensecrf"])
def test_crf(published: dict[str, Any], real_data: Path, backend: str) -> None:
    if backend == "pydensecrf":
        pytest.importorskip("pydensecrf.densecrf")
    image = picture(real_data, str(published["image_id"]))
    target = published["heatmap_u8"] / np.float32(255)
    expected = published["crf_u16"] / 65535
    ours = refine(image, target, float(published["compat"]), backend=backend, tolerance=0.0)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    early = refine(image, target, float(published["compat"]), backend=backend)
    np.testing.assert_allclose(early, expected, atol=2e-3)


def picture(real_data: Path, image_id: str) -> np.ndarray:
    photograph = real_data / "Kvasir-SEG" / "images" / f"{image_id}.jpg"
    return read_image(photograph) if photograph.is_file() else prostate_slice(real_data, image_id)


def prostate_slice(real_data: Path, image_id: str) -> np.ndarray:
    """The slice with this InstanceNumber in the series of the patient, as 8-bit gray."""
    pydicom = pytest.importorskip("pydicom")
    patient, number = image_id.rsplit("_", 1)
    files = sorted((real_data / "NCI-ISBI-2013" / "raw").glob(f"**/{patient}/**/*.dcm"))
    slices = (pydicom.dcmread(path) for path in files)
    image = next((image for image in slices if image.InstanceNumber == int(number)), None)
    if image is None:
        pytest.skip(f"no slice {number} of {patient}")
    pixels = image.pixel_array.astype(np.float64)
    return ((pixels - pixels.min()) / np.ptp(pixels) * 255).astype(np.uint8)[..., None]
