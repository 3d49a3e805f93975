"""What a model of images can predict among the files of a folder."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.misc import is_dicom

from fovea.data.images.dicom import read_slice
from fovea.data.images.files import SUFFIXES, pages_of, read_image, warn_orientations
from fovea.data.images.folder import Folder
from fovea.data.images.inputs import Input, Pages, Picture, Series, Volume
from fovea.data.images.series import DICOM, dicom_files, series_of
from fovea.data.predict_request import PredictRequest, below, files_below, named, report_skipped
from fovea.data.volumes.nifti import SUFFIXES as NIFTI
from fovea.runtime.config import locate

TIFF = (".tif", ".tiff")
log = logging.getLogger(__name__)

Reader = Callable[[Path], np.ndarray]  # reads an image file to uint8 [H, W, C]


def decoder(data: Mapping[str, Any]) -> Reader:
    """Return the reader of files of one image, also of DICOM; it reads as in the training with the group `data`."""
    return partial(_read, _dataset(data), data)


def _read(dataset: type[Folder], data: Mapping[str, Any], path: Path) -> np.ndarray:
    suffix, own = path.suffix.lower(), _own(dataset)
    channels, window, exif = data["channels"], data.get("range"), data.get("exif", "ignore")
    dicom = suffix in DICOM or (suffix not in SUFFIXES | own and path.is_file() and is_dicom(path))
    if suffix in own or (dicom and own >= DICOM):
        return dataset.decode(path, channels, window, exif)
    if path.name.lower().endswith(NIFTI):
        fix = "give each slice as an array, or use fovea-predict"
        raise ValueError(f"{path}: a volume, and this model reads images; {fix}")
    if dicom:
        return np.repeat(read_slice(path, window, dataset.stretched)[..., None], channels, axis=2)
    return read_image(path, channels, window, exif)


def find_inputs(data: Mapping[str, Any], request: PredictRequest) -> dict[str, Input]:
    """Return the images, series and volumes below the source by name, and log what concerns them and the other files.

    Files of the kind of the training are read as in the training with the group `data`. A ValueError if there are none.
    """
    dataset, source, found = _dataset(data), request.source, files_below(request.source)
    own = _own(dataset)
    suffixes, files = SUFFIXES | own - DICOM, [path for path in found if path.is_file()]
    images = {path for path in files if path.suffix.lower() in suffixes}
    volumes = {path for path in files if path.name.lower().endswith(NIFTI)} - images
    headers = dicom_files(path for path in files if path not in images and path not in volumes)
    stacks = series_of(headers) if request.series else []
    sliced = {each.path for slices in stacks for each in slices}
    names = named(source, sorted((images | volumes | headers.keys()) - sliced))
    wanted = ", ".join(sorted({*suffixes, *NIFTI, *DICOM}))
    if not names and not stacks:
        raise ValueError(f"input: {source} has no image ({wanted}, other DICOM) among its {len(found)} files")
    report_skipped(source, sorted({*found} - images - volumes - headers.keys()), wanted)
    window, channels, exif = data.get("range"), data["channels"], data.get("exif", "ignore")
    if exif == "ignore":
        warn_orientations(source, tuple(sorted(images)))
    if window is not None:
        log.info("range: %g and %g of more than 8 bits become 0 and 255", *window)
    read, inputs = decoder(data), dict[str, Input]()
    for name, path in names.items():
        if path in volumes:
            inputs[name] = Volume(path, request.axis, window, dataset.stretched, channels)
        elif path.suffix.lower() in TIFF and path.suffix.lower() not in own and pages_of(path) > 1:
            inputs[name] = Pages(path, lambda file, page: read_image(file, channels, window, exif, page))
        else:
            inputs[name] = Picture(path, read, is_dicom=path in headers)
    taken = {name.casefold() for name in inputs}
    folders = Counter(slices[0].path.parent for slices in stacks)
    for slices in stacks:
        folder = slices[0].path.parent
        name = folder.resolve().name if folder == source else below(source, folder)
        if folders[folder] > 1 or name.casefold() in taken:
            name = f"{name}/{slices[0].series}"
        taken.add(name.casefold())
        inputs[name] = Series(folder, slices, read)
    return inputs


def _own(dataset: type[Folder]) -> frozenset[str]:
    """Return the suffixes of files that only the data set can decode."""
    return dataset.image_suffixes if dataset.decode is not Folder.decode else frozenset()


def _dataset(data: Mapping[str, Any]) -> type[Folder]:
    dataset = locate(data["dataset"]["_target_"], "checkpoint: data.dataset._target_")
    if not issubclass(dataset, Folder):
        raise ValueError(f"checkpoint: {dataset.__name__} is not a data set of images; give a file of fovea-train")
    return dataset
