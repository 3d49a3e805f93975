"""Damaged files: each is predicted or refused in one line, and all others are done."""

import random
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from tests.importers.test_fuzz import MUTATIONS, mutated
from torch import nn

from fovea.data.images.dicom import read_header
from fovea.data.images.files import image_size, read_image
from fovea.data.images.masks import read_mask
from fovea.data.images.predict import FromPixels, predict
from fovea.data.predict_request import PredictRequest

Read = Callable[[Path], Any]


class Empty(nn.Module):
    """Predict background everywhere."""

    def forward(self, image: torch.Tensor, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        return {"prediction": torch.zeros(1, 1, *size)}


def image_file(suffix: str, **options: Any) -> bytes:
    """Return a file of noise; TIFF files of several pages too."""
    rng, file, exif = np.random.default_rng(1), BytesIO(), Image.Exif()
    exif[0x0112] = 6
    deep, pages = options.pop("deep", False), options.pop("pages", 1)
    pixels = rng.integers(0, 4096, (24, 20), np.uint16) if deep else rng.integers(0, 256, (24, 20, 3), np.uint8)
    image = Image.fromarray(pixels)
    more = {"save_all": True, "append_images": [image] * (pages - 1)} if pages > 1 else {}
    image.save(file, suffix, exif=exif, **more, **options)
    return file.getvalue()


def slices(real_data: Path) -> list[bytes]:
    """Return a real slice in four transfer syntaxes, cropped to 24 x 20 pixels."""
    path = next((real_data / "NCI-ISBI-2013" / "raw").rglob("*.dcm"))
    files = []
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless):
        dataset = pydicom.dcmread(path)
        pixels = np.ascontiguousarray(dataset.pixel_array[:24, :20])
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
        if syntax == RLELossless:
            dataset.compress(RLELossless)
        file = BytesIO()
        little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(file, dataset, little_endian=little, implicit_vr=implicit)
        files.append(file.getvalue())
    return files


def fuzz(folder: Path, suffix: str, wholes: list[bytes], dataset: str, readers: list[Read]) -> str:
    """Predict a folder of damaged files and undamaged ones between them; return how many of which kind there were."""
    rng, paths = random.Random(0), []
    (folder / "in").mkdir()
    for number in range(MUTATIONS):
        files = {f"damaged{number}": mutated(wholes[number % len(wholes)], rng)}
        for name, content in (files | ({f"whole{number}": wholes[0]} if number % 50 == 0 else {})).items():
            paths.append(folder / "in" / f"{name}.{suffix}")
            paths[-1].write_bytes(content)
    reading = {
        "channels": 3,
        "classes": 1,
        "size": 8,
        "normalize": {"_target_": "albumentations.Normalize"},
        "exif": "apply",
    }
    data = {"dataset": {"_target_": dataset}, "range": [0, 4095], **reading}
    request = PredictRequest(folder / "in", folder / "out", series=False)
    count, failures = predict(data, FromPixels(data, Empty(), torch.device("cpu")), request)
    assert count == len(paths) and not [name for name in failures if name.startswith("whole")]
    assert {path.stem for path in (folder / "out" / "masks").iterdir()} == {path.stem for path in paths} - {*failures}
    lines = [*failures.values()]
    for path in paths:
        for read in readers:
            try:
                read(path)
            except ValueError as error:
                lines.append(str(error))
    assert all("\n" not in line and str(folder) in line for line in lines)
    return f"{suffix}: {MUTATIONS} mutations, {len(failures)} refused, {MUTATIONS - len(failures)} read"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow and pydicom, about the damage
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "dcm"])
def test_damage_is_one_line_and_the_other_files_are_done(tmp_path: Path, suffix: str, request: Any) -> None:
    if suffix == "dcm":
        wholes, dataset = slices(request.getfixturevalue("real_data")), "fovea.data.images.nci_isbi.NciIsbi"
        readers: list[Read] = [read_header]
    else:
        kinds: dict[str, tuple[str, list[dict[str, Any]]]] = {
            "png": ("PNG", [{}, {"deep": True}, {"compress_level": 0}]),
            "jpg": ("JPEG", [{}, {"progressive": True}]),
            "tif": (
                "TIFF",
                [{}, {"compression": "tiff_lzw"}, {"deep": True}, {"compression": "tiff_jpeg"}, {"pages": 3}],
            ),
        }
        wholes = [image_file(kinds[suffix][0], **options) for options in kinds[suffix][1]]
        dataset, readers = "fovea.data.images.folder.Folder", [read_image, read_mask, image_size]
        readers += [partial(read_mask, classes=3), partial(image_size, exif="apply")]
    print(fuzz(tmp_path, suffix, wholes, dataset, readers))  # pytest -s shows it
