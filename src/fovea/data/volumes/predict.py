"""Label maps and overlays of new volumes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fovea.data.predict_request import PredictRequest, below, class_names, files_below, outputs, report_skipped
from fovea.data.prediction_record import Planned, Recorded
from fovea.data.volumes.grid import Header
from fovea.data.volumes.nifti import SUFFIXES, read_header, read_volume, write_voxels
from fovea.data.volumes.pairs import image_id
from fovea.data.volumes.prepared import Native
from fovea.pictures.contact_sheet import with_legend
from fovea.pictures.panels import volume_overlay
from fovea.pictures.png import write_image
from fovea.supervision.outputs import as_arrays

log = logging.getLogger(__name__)


@torch.inference_mode()
def predict_volumes(native: Native, request: PredictRequest, data: Mapping[str, Any]) -> tuple[int, dict[str, str]]:
    """Write a mask, an overlay and maps of the probabilities for each `<case>_<modality>.nii.gz` (or `.nii`).

    Returned are the number of volumes, and the reason by name for each one that failed.

    The voxels of a mask lie on those of its volume. A case may lack some modalities if the network does not need them.
    `data` is the group of the training.
    """
    foreign = "axis", "dicom_seg", "range", "series"
    if given := [key for key in foreign if getattr(request, key) != getattr(PredictRequest, key)]:
        raise ValueError(f"{given[0]} is for models of images, this one reads volumes; leave it out")
    cases = _find_cases(request.source, data["modalities"])
    names = request.names or class_names(data)
    volumes = {image_id(case, name): (case, name) for case, paths in cases.items() for name in paths}
    planned = {
        image: Planned(cases[case][name], [*cases[case].values()], outputs(image, ".nii.gz", names, request))
        for image, (case, name) in volumes.items()
    }
    failures: dict[str, str] = {}
    recorded = Recorded(request.out, planned, request.key, names, request.networks)
    with recorded as record, tqdm(total=len(volumes), unit="volume") as bar:
        for case, paths in cases.items():
            bar.update(len(paths))
            wanted = [name for name in paths if not record.is_done(image_id(case, name))]
            images: dict[str, torch.Tensor] = {}
            headers: dict[str, Header] = {}
            for name, path in paths.items() if wanted else ():
                try:
                    volume, headers[name] = read_volume(path), read_header(path)
                    images[name] = native.prepared(volume, headers[name], name)
                except ValueError as error:
                    failures[image_id(case, name)] = str(error)
            for name in (name for name in wanted if name in images):
                image = image_id(case, name)
                try:
                    record.start()
                    found = native({name: images[name], **images}, headers[name])
                    mask, probability = as_arrays(found["prediction"])
                except ValueError as error:  # e.g. the network needs a modality that is missing
                    failures[image] = f"{paths[name]}: {error}"
                    continue
                written = {kind: request.out / file for kind, file in planned[image].outputs.items()}
                if unread := [other for other in paths if other not in images]:
                    log.warning("%s was predicted without %s, which cannot be read", image, " and ".join(unread))
                _write(written, headers[name], mask, probability, names)
                record.add(image, mask, probability, headers[name].voxel)
    for reason in failures.values():
        log.error("%s", reason)
    return len(volumes), failures


def _write(
    files: Mapping[str, Path], header: Header, mask: np.ndarray, probability: np.ndarray, names: Sequence[str]
) -> None:
    path = header.path
    write_voxels(files["mask"], mask, path)
    write_image(files["overlay"], with_legend(volume_overlay(read_volume(path), mask, header.spacing), names))
    for label, values in enumerate(probability[-len(names) :], start=1):
        if str(label) in files:
            write_voxels(files[str(label)], values, path)


def _find_cases(source: Path, modalities: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Return the volumes of a folder by case and modality, and log the files that are skipped."""
    names = " or ".join(f"<case>_{name}.nii.gz" for name in modalities)
    found, aside = files_below(source), []
    cases: dict[str, dict[str, Path]] = {}
    for path in found:
        name = below(source, path)
        suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
        stem = name[: -len(suffix)] if suffix else ""
        if not (modality := _modality(stem, modalities)):
            aside.append(path)
            continue
        case = cases.setdefault(stem[: -len(modality) - 1], {})
        if modality in case:
            raise ValueError(f"input: {case[modality]} and {path.name} are the same volume; remove one")
        case[modality] = path
    if not cases:
        raise ValueError(f"input: {source} has no volume with a name like {names}; rename your files, or link to them")
    report_skipped(source, aside, names)
    return cases


def _modality(stem: str, modalities: Sequence[str]) -> str:
    """Return the modality at the end of a name, first as it is spelled, then in any case; the longest one."""
    for known in (lambda text: text), str.lower:
        if ends := [name for name in modalities if known(stem).endswith(known(f"_{name}"))]:
            return max(ends, key=len)
    return ""
