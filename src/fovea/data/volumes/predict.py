"""Label maps and overlays of new volumes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fovea.data.images.files import write_image
from fovea.data.predictions import below, files_below, recorded, report_left_aside
from fovea.data.source import Predictor
from fovea.data.volumes.case_list import image_id
from fovea.data.volumes.grid import order_of
from fovea.data.volumes.nifti import SUFFIXES, read_header, read_volume, write_labels
from fovea.data.volumes.prepared import Intensity, prepare_volume
from fovea.pictures.volumes import volume_overlay
from fovea.supervision.outputs import labels

log = logging.getLogger(__name__)


@torch.inference_mode()
def predict_volumes(
    predictor: Predictor,
    source: Path,
    modalities: Sequence[str],
    spacing: Sequence[float | None] | None,
    intensity: Mapping[str, Intensity],
    device: torch.device,
    out: Path,
    slices: bool = False,
) -> tuple[int, dict[str, str]]:
    """Write `masks/<case>_<modality>.nii.gz` and `overlays/<case>_<modality>.png` into `out`.

    The voxels of a mask lie on those of its volume. A case may lack some modalities if the network does not need them.

    Args:
        predictor: Predicts whole volumes; see `fovea.data.volumes.windows.SlidingWindow`.
        source: A `<case>_<modality>.nii.gz` (or `.nii`), or a folder of them, which may have folders.
        modalities: The modalities of the network.
        spacing: See `fovea.data.volumes.prepared.Prepared`, also for `intensity`.
        intensity: A transform for each modality.
        device: Device of the network.
        out: Folder for the masks and overlays.
        slices: Whether the predictor takes volumes with their slices last.

    Returns:
        The number of volumes, and the reason by name for each one that failed.
    """
    cases = _find_cases(source, modalities)
    volumes = {image_id(case, name): path for case, paths in cases.items() for name, path in paths.items()}
    masks = {f"masks/{image}.nii.gz": path for image, path in volumes.items()}
    overlays = {f"overlays/{image}.png": path for image, path in volumes.items()}
    failures: dict[str, str] = {}
    with recorded(out, masks | overlays), tqdm(total=len(volumes), desc="predict", unit="volume") as bar:
        for case, paths in cases.items():
            images: dict[str, torch.Tensor] = {}
            for name, path in paths.items():
                try:
                    volume = prepare_volume(path, spacing, intensity[name], slices)
                    images[name] = torch.from_numpy(volume)[None, None].to(device)
                except ValueError as error:
                    failures[image_id(case, name)] = str(error)
            for name in images:
                try:
                    _predict(predictor, images, name, paths[name], out, image_id(case, name), slices)
                except ValueError as error:  # the network needs a modality that is missing
                    failures[image_id(case, name)] = f"{paths[name]}: {error}"
            bar.update(len(paths))
    for reason in failures.values():
        log.error("%s", reason)
    return len(volumes), failures


def _predict(
    predictor: Predictor,
    images: Mapping[str, torch.Tensor],
    modality: str,
    path: Path,
    out: Path,
    name: str,
    slices: bool,
) -> None:
    """Predict one modality of volumes [1, 1, D, H, W] on the grid of its file; write the labels and an overlay."""
    first_wanted = {modality: images[modality], **images}
    header = read_header(path)
    order = order_of(header) if slices else (0, 1, 2)
    probability = predictor(first_wanted, [header.shape[axis] for axis in order])["prediction"]
    prediction = labels(probability)[0].cpu().numpy().astype(np.uint8).transpose(np.argsort(order))
    write_labels(out / "masks" / f"{name}.nii.gz", prediction, path)
    write_image(out / "overlays" / f"{name}.png", volume_overlay(read_volume(path), prediction, header.spacing))


def _find_cases(source: Path, modalities: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Return the volumes of a folder by case and modality, and log the files that are left aside."""
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
    report_left_aside(source, aside, names)
    return cases


def _modality(stem: str, modalities: Sequence[str]) -> str:
    """Return the modality at the end of a name, first as it is spelled, then in any case; the longest one."""
    for known in (lambda text: text), str.lower:
        if ends := [name for name in modalities if known(stem).endswith(known(f"_{name}"))]:
            return max(ends, key=len)
    return ""
