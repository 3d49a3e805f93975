"""Masks and overlays of new images."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fovea.data.images.dicom_seg import check_installed, segmentation_of
from fovea.data.images.find import find_inputs
from fovea.data.images.inputs import Input, Picture, Series
from fovea.data.images.samples import resize_image, to_tensor
from fovea.data.predict_request import PredictRequest, class_names, outputs
from fovea.data.prediction_record import Planned, Recorded
from fovea.pictures.contact_sheet import with_legend
from fovea.pictures.overlay import overlay, palette
from fovea.pictures.png import write_image
from fovea.runtime.config import instantiate
from fovea.runtime.files import whole_file
from fovea.supervision.largest import largest_if_asked
from fovea.supervision.outputs import as_arrays

log = logging.getLogger(__name__)

Pixels = Callable[[np.ndarray], Mapping[str, Tensor]]
"""Maps an image uint8 [H, W, C] of any size to probabilities [1, K, H, W] by name."""


class FromPixels:
    """A trained module on images as they are decoded: resized and normalized as in the training with `data`."""

    def __init__(self, data: Mapping[str, Any], module: nn.Module, device: torch.device) -> None:
        self.module, self.size, self.device = module, data["size"], device
        self.normalize = instantiate(data["normalize"], "data.normalize")

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> Mapping[str, Tensor]:
        tensor = to_tensor(resize_image(pixels, self.size), self.normalize)[None].to(self.device)
        return self.module(tensor, pixels.shape[:2])


def predict(data: Mapping[str, Any], network: Pixels, request: PredictRequest) -> tuple[int, dict[str, str]]:
    """Write a mask, an overlay and maps of the probabilities of one image or of those below a folder, of any size.

    A mask has the size of its image; one class is written as 0 and 255 (1 in NIfTI), several as their indices. `data`
    says how images are read. See `fovea.data.source.Source.predict`.
    """
    data = request.applied_to(data)
    network = largest_if_asked(network, data)
    inputs, names = find_inputs(data, request), request.names or class_names(data)
    if request.dicom_seg:
        check_installed()
        if not any(each.is_dicom for each in inputs.values()):
            raise ValueError(f"dicom_seg: {request.source} has no DICOM image; leave it out")
    planned = {
        name: Planned(each.path, each.files, outputs(name, each.suffix, names, request, each.is_dicom))
        for name, each in inputs.items()
    }
    failures = {}
    with Recorded(request.out, planned, request.key, names, request.networks) as record:
        for name, each in tqdm(inputs.items(), desc="predict", unit="image"):
            if record.is_done(name):
                continue
            written = {kind: request.out / file for kind, file in planned[name].outputs.items()}
            try:
                mask, probability, picture = _predicted(each, network)
                pixel_size = each.pixel_size()
                slices = each.grid.files if isinstance(each, Series) else each.files
                segmentation = segmentation_of(mask, slices, names) if "segmentation" in written else None
            except ValueError as error:
                failures[name] = str(error)
                log.error("%s", error)
                continue
            labeled = mask * np.uint8(each.foreground) if len(probability) == 1 else mask
            each.write(written["mask"], labeled, palette(len(probability)))
            write_image(written["overlay"], with_legend(picture, names))
            if segmentation is not None:
                with whole_file(written["segmentation"]) as file:
                    segmentation.save_as(file)
            for label, values in enumerate(probability[-len(names) :], start=1):
                if request.probabilities:
                    each.write(written[str(label)], values, ())
            record.add(name, mask, probability, pixel_size, each.foreground)
    return len(inputs), failures


def _predicted(each: Input, network: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels [*size], probabilities [K, *size] and the overlay of the slice with most foreground."""
    found = []
    for pixels in each.slices():
        predicted = network(pixels)["prediction"]
        try:
            found.append((pixels, *as_arrays(predicted)))
        except ValueError as error:
            raise ValueError(f"{each.path}: {error}") from error
    counts = [np.count_nonzero(mask) for _, mask, _ in found]
    image, mask, probability = found[int(np.argmax(counts)) if any(counts) else len(found) // 2]
    picture = overlay(image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), mask)
    if isinstance(each, Picture):
        return mask, probability, picture
    return np.stack([mask for _, mask, _ in found]), np.stack([values for *_, values in found], axis=1), picture
