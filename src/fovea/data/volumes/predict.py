"""Label maps and pictures of unseen volumes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fovea.data.images.files import write_image
from fovea.data.source import Predictor
from fovea.data.volumes.nifti import SUFFIXES, read_header, read_volume, write_labels
from fovea.data.volumes.prepared import Intensity, prepare_volume
from fovea.pictures.volumes import volume_overlay
from fovea.runtime.processes import moved
from fovea.supervision.outputs import labels

log = logging.getLogger(__name__)


@torch.inference_mode()
def predict_volumes(
    read: Predictor,
    source: Path,
    modalities: Sequence[str],
    spacing: Sequence[float | None] | None,
    intensity: Mapping[str, Intensity],
    device: torch.device,
    out: Path,
) -> tuple[int, dict[str, str]]:
    """Write `masks/<case>_<modality>.nii.gz` and `overlays/<case>_<modality>.png` into `out`.

    A mask has the grid, the affine and the orientation of its volume. A case with some of the modalities only is
    predicted where the network can do without the others.

    Args:
        read: Whole volumes to probabilities; see `fovea.data.volumes.windows.SlidingWindow`.
        source: Folder of `<case>_<modality>.nii.gz` files (or `.nii`).
        modalities: Of the network.
        spacing: See `fovea.data.volumes.prepared.Prepared`.
        intensity: The same.
        device: Where the network is.
        out: Folder, made if need be.

    Returns:
        The number of volumes, and the reason by name for each that could not be predicted; the others are done.

    Raises:
        ValueError: there are no such files, or `out` cannot be written.
    """
    cases = found_cases(source, modalities)
    failures: dict[str, str] = {}
    count = sum(map(len, cases.values()))
    with tqdm(total=count, desc="predict", unit="volume") as progress:
        for case, paths in cases.items():
            images: dict[str, torch.Tensor] = {}
            for name, path in paths.items():
                try:
                    images[name] = torch.from_numpy(prepare_volume(path, spacing, intensity[name]))[None, None]
                except ValueError as error:
                    failures[f"{case}_{name}"] = str(error)
            for name in images:
                try:
                    prediction = predicted(read, images, name, paths[name], device)
                except ValueError as error:  # the network cannot do without one that is missing
                    failures[f"{case}_{name}"] = f"{paths[name]}: {error}"
                else:
                    write_prediction(prediction, paths[name], out, f"{case}_{name}")
            progress.update(len(paths))
    for reason in failures.values():
        log.error("%s", reason)
    return count, failures


def predicted(
    read: Predictor, images: Mapping[str, torch.Tensor], modality: str, path: Path, device: torch.device
) -> np.ndarray:
    """Labels, uint8 [D, H, W] on the grid of a file in RAS, of one modality of volumes [1, 1, D, H, W] by modality."""
    ordered = {modality: images[modality]} | {other: each for other, each in images.items() if other != modality}
    probability = read(moved(ordered, device), read_header(path).shape)["prediction"]
    return labels(probability)[0].cpu().numpy().astype(np.uint8)


def write_prediction(prediction: np.ndarray, path: Path, out: Path, name: str) -> None:
    """Write the labels of a volume that was read from `path`, and a picture of them."""
    write_labels(out / "masks" / f"{name}.nii.gz", prediction, path)
    write_image(
        out / "overlays" / f"{name}.png", volume_overlay(read_volume(path), prediction, read_header(path).spacing)
    )


def found_cases(source: Path, modalities: Sequence[str]) -> dict[str, dict[str, Path]]:
    """The volumes of a folder by case and modality.

    Raises:
        ValueError: no such folder, no such file in it, or a case and modality twice.
    """
    if not source.is_dir():
        raise ValueError(f"input: no such folder {source}; name one of <case>_<modality>.nii.gz files")
    cases: dict[str, dict[str, Path]] = {}
    for path in sorted(source.iterdir()):
        suffix = next((each for each in reversed(SUFFIXES) if path.name.endswith(each)), None)
        if suffix is None or path.name.startswith("."):
            continue
        stem = path.name.removesuffix(suffix)
        for modality in modalities:
            if stem.endswith(f"_{modality}"):
                case = cases.setdefault(stem.removesuffix(f"_{modality}"), {})
                if modality in case:
                    raise ValueError(f"input: {case[modality]} and {path.name} are one volume; remove one of them")
                case[modality] = path
    if not cases:
        names = ", ".join(f"<case>_{name}.nii.gz" for name in modalities)
        raise ValueError(f"input: no volume in {source} that is named {names}; rename your files, or link to them")
    return cases
