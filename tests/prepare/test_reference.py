"""Heatmap and CRF against arrays of the published code, and against pydensecrf2 on real images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data.fixations import read_fixations
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


@pytest.fixture(scope="module")
def looked_at(real_data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Twenty images of Kvasir-SEG from its whole list, with their heatmaps."""
    root = real_data / "Kvasir-SEG"
    if not (root / "kvasir_fixation.csv").is_file():
        pytest.skip(f"no fixations in {root}")
    ids = sorted(path.stem for path in (root / "images").iterdir())
    ids = ids[:: len(ids) // 20][:20]
    table = read_fixations(root / "kvasir_fixation.csv", ids)
    images = [read_image(root / "images" / f"{image_id}.jpg") for image_id in ids]
    gaze = [table.of(image_id) for image_id in ids]
    heats = [heatmap(on.x, on.y, on.duration, image.shape[:2]) for on, image in zip(gaze, images, strict=True)]
    return list(zip(images, heats, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("compat", "every"), [(1.0, 1), (3.0, 7)])
def test_pydensecrf_agrees(looked_at: list[tuple[np.ndarray, np.ndarray]], compat: float, every: int) -> None:
    pytest.importorskip("pydensecrf.densecrf")
    assert len(looked_at) == 20
    for image, heat in looked_at[::every]:
        theirs = refine(image, heat, compat, backend="pydensecrf")
        np.testing.assert_allclose(refine(image, heat, compat, tolerance=0.0), theirs, atol=1e-4)
        np.testing.assert_allclose(refine(image, heat, compat), theirs, atol=2e-3)


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
