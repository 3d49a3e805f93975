"""Import published heatmaps and CRF maps (GazeMedSeg), 8-bit JPEG or PNG, as a store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fovea.data.images.files import image_files, opened, read_image
from fovea.data.images.folder import Folder
from fovea.data.store import Store
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256
from fovea.runtime.record import versions

_PACKAGES = ("fovea", "numpy", "opencv-python-headless", "pillow")
_COLOR = 48  # the channels of a gray image that was saved as a color JPEG differ by less


class Maps:
    """Writes a store from a folder of maps that have the names of the images.

    The folder is `heatmap` with `refine=none`, else `crf_compat<compat>`, below the first of `folders` that has it. The
    manifest repeats the parameters of `labels` and `refine`: the files do not tell them.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = folders

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Write the store `request.out`.

        Every image of `train` and `val` needs a map of its own size. An image without one is listed among the
        manifest's failures and does not stop the others. Maps without an image are left out.

        A ValueError if there is no data set or no such folder, it has other parameters, or no map can be used.
        """
        if request.dataset is None:
            raise ValueError("data.root is not set: maps are matched to images; add data=… data.root=DIR")
        dataset, store, parameters = request.dataset(), Store(request.out), request.parameters
        folder = self._folder(request.source, parameters)
        maps = image_files(folder)
        splits = dataset.splits()
        needed = {*splits["train"], *splits["val"]}
        wanted = [name for name in dataset.ids if name in maps or name in needed]
        store.refuse_mixture(parameters, {name: dataset.image_path(name) for name in dataset.ids}, None)
        store.start()
        images: dict[str, dict[str, object]] = {}
        failures: dict[str, str] = {}
        for name in tqdm(wanted, desc="fovea-import", unit="image"):
            try:
                values = _read(dataset, name, maps.get(name), folder)
            except ValueError as error:
                failures[name] = str(error)
                continue
            store.write(name, values)
            images[name] = {
                "sha256": sha256(dataset.image_path(name)),
                "source_sha256": sha256(maps[name]),
                "mean": round(float(values.mean(dtype=np.float64)), 6),
                "above_half": round(float(np.mean(values >= 0.5)), 6),
            }
        if not images:
            raise ValueError(f"{folder}: none of {len(wanted)} maps can be used; the first: {failures[wanted[0]]}")
        manifest = {
            "parameters": parameters,
            "versions": versions(_PACKAGES),
            "imported": {"format": "maps", "folder": folder.name},
            "images": images,
            "failures": failures,
            "unlabeled": [],  # the maps do not tell
        }
        store.finish(manifest)
        surplus = sorted(set(maps) - set(dataset.ids))
        warning = f"{len(surplus)} maps belong to no image of data.root and are left out: {first_few(surplus)}"
        return ImportResult([f"{len(images)} maps in {store.path}"], [warning] if surplus else [], failures)

    def _folder(self, source: Path, parameters: Mapping[str, Any]) -> Path:
        """Return the folder of maps that `refine` asks for."""
        refine, compat = parameters["refine"], parameters.get("refine.compat", 0)
        name = "heatmap" if refine == "none" else f"crf_compat{compat:g}"
        folder = next((path for part in self.folders if (path := source / part / name).is_dir()), source)
        if not folder.is_dir():
            raise ValueError(f"source: {source} does not exist; set the folder of the data set, or of its maps")
        if folder.name != name and (folder.name == "heatmap" or folder.name.startswith("crf_compat")):
            have = f"refine={refine} refine.compat={compat:g}"
            raise ValueError(f"{folder}: these are not the maps of {have}, but {name} are; set those of this folder")
        if folder is source and folder.name != name and any((source / part).is_dir() for part in ("gaze", "images")):
            raise ValueError(f"{source}: there is no {name} in it or in its gaze/; set source to the maps, or refine=…")
        return folder


def _read(dataset: Folder, name: str, path: Path | None, folder: Path) -> np.ndarray:
    """Return a map, float32 [H, W] in [0, 1]; ValueError without one of the size of the image in gray."""
    if path is None:
        raise ValueError(f"no map of {name} in {folder.name}")
    try:
        pixels = read_image(path, channels=1, fix="save the map with 8 bits, from 0 to 255")[:, :, 0]
        values = pixels.astype(np.float32) / np.float32(255)
        colored = int(np.ptp(read_image(path), axis=2).max()) > _COLOR
        with opened(path) as image:
            clear = image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255
        size = dataset.size(name)
    except ValueError as error:
        raise ValueError(str(error).replace(f"{folder}/", "").replace(f"{dataset.root}/", "")) from error
    if pixels.max() == 1:
        raise ValueError(f"{path.name} has only the values 0 and 1; save the map in gray, from 0 to 255")
    if colored or clear:
        raise ValueError(
            f"{path.name} has {'colors' if colored else 'transparency'}; save the map in gray, from 0 to 255"
        )
    if values.shape != size:
        (rows, columns), (height, width) = values.shape, size
        raise ValueError(f"{path.name} is {columns} x {rows} pixels, but the image is {width} x {height}")
    return values
