"""Heatmap and CRF against arrays that the published code made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data.images import read_image
from fovea.gaze.crf import refine
from fovea.gaze.heatmap import heatmap


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


def test_crf(published: dict[str, Any], real_data: Path) -> None:
    pytest.importorskip("pydensecrf.densecrf")
    image = picture(real_data, str(published["image_id"]))
    ours = refine(image, published["heatmap_u8"] / np.float32(255), compat=float(published["compat"]))
    np.testing.assert_allclose(ours, published["crf_u16"] / 65535, atol=2e-3)


def picture(real_data: Path, image_id: str) -> np.ndarray:
    photograph = real_data / "Kvasir-SEG" / "images" / f"{image_id}.jpg"
    return read_image(photograph) if photograph.is_file() else prostate_slice(real_data, image_id)


def prostate_slice(real_data: Path, image_id: str) -> np.ndarray:
    """The slice of that InstanceNumber in the patient's series, as 8-bit grey."""
    pydicom = pytest.importorskip("pydicom")
    patient, number = image_id.rsplit("_", 1)
    files = sorted((real_data / "NCI-ISBI-2013" / "raw").glob(f"**/{patient}/**/*.dcm"))
    slices = (pydicom.dcmread(path) for path in files)
    found = next((each for each in slices if each.InstanceNumber == int(number)), None)
    if found is None:
        pytest.skip(f"no slice {number} of {patient}")
    pixels = found.pixel_array.astype(np.float64)
    return ((pixels - pixels.min()) / np.ptp(pixels) * 255).astype(np.uint8)[..., None]
