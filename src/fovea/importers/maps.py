"""Published heatmaps and CRF maps (GazeMedSeg), 8-bit JPEG or PNG, as a store."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fovea.data.images.files import image_files, read_image
from fovea.data.images.folder import Folder
from fovea.data.parameters import Crf, Parameters
from fovea.data.store import Store
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256
from fovea.runtime.record import versions

_PACKAGES = ("fovea", "numpy", "opencv-python-headless", "pillow")
_CRF_FOLDER = re.compile(r"crf_compat(.+)")


class Maps:
    """A folder of maps named as the images, made into a store that training takes with the same keys.

    Which folder it is follows from `refine`: `heatmap` with `refine=none`, else `crf_compat<compat>`. Maps of
    images that the data set does not have are left alone. What the keys say of sigma and of the CRF is written into
    the manifest unseen: nothing in the files tells.

    Args:
        folders: where the folder of maps lies below the source, in the order in which they are tried.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = folders

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Write the store `request.out`.

        Every image of `train` and `val` should have a map, of its own size; one that has none, or is bad, is listed
        among the manifest's failures and does not stop the others.

        Raises:
            ValueError: no data set is given, there is no such folder, it is of other parameters, or no map is good.
        """
        if request.dataset is None:
            raise ValueError("data.root is not given: maps are matched to images; add data=… data.root=DIR")
        dataset, store = request.dataset(), Store(request.out)
        folder = self._folder(request.source, request.parameters.crf)
        maps = image_files(folder)
        splits = dataset.splits()
        expected = {*splits["train"], *splits["val"]}.intersection(dataset.ids)
        wanted = [name for name in dataset.ids if name in maps or name in expected]
        store.refuse_mixture(request.parameters.flat())
        store.start()
        images: dict[str, dict[str, object]] = {}
        failures: dict[str, str] = {}
        for name in tqdm(wanted, desc="fovea-import", unit="image"):
            try:
                images[name] = _copy(dataset, store, name, maps.get(name), folder)
            except _BadMapError as error:
                failures[name] = str(error)
        if not images:
            raise ValueError(f"{folder}: none of {len(wanted)} maps could be used; the first: {failures[wanted[0]]}")
        store.finish(_manifest(request.parameters, folder, images, failures))
        surplus = sorted(set(maps) - set(dataset.ids))
        line = f"{len(surplus)} maps belong to no image of data.root and are left out: {first_few(surplus)}"
        return ImportResult([f"{len(images)} maps in {store.path}"], [line] if surplus else [], failures)

    def _folder(self, source: Path, crf: Crf) -> Path:
        name = "heatmap" if crf.backend == "none" else f"crf_compat{crf.compat:g}"
        folder = next((each for part in self.folders if (each := source / part / name).is_dir()), source)
        if not folder.is_dir():
            raise ValueError(f"source: no such folder {source}; name the data set's folder, or that of the maps")
        published = folder.name == "heatmap" or _CRF_FOLDER.fullmatch(folder.name)
        if published and folder.name != name:
            raise ValueError(f"{folder}: {_mismatch(folder.name, crf)}")
        if folder is source and not published and any((source / part).is_dir() for part in ("gaze", "images")):
            raise ValueError(
                f"{source}: no folder {name} in it or in its gaze/; name the folder of maps, or fix refine"
            )
        return folder


class _BadMapError(ValueError):
    """A map that cannot be used; a store that cannot be written is another thing, and ends the import."""


def _copy(dataset: Folder, store: Store, name: str, path: Path | None, folder: Path) -> dict[str, object]:
    """Write one map; its statistics as `fovea-prepare` has them, as far as they are known."""
    if path is None:
        raise _BadMapError(f"no map of {name} in {folder.name}")
    try:
        values = read_image(path, channels=1)[:, :, 0].astype(np.float32) / np.float32(255)
        size = dataset.size(name)
    except ValueError as error:
        raise _BadMapError(str(error).replace(f"{folder}/", "").replace(f"{dataset.root}/", "")) from error
    if values.shape != size:
        (rows, columns), (height, width) = values.shape, size
        raise _BadMapError(f"{path.name} is {columns} x {rows} pixels, but the image is {width} x {height}")
    store.write(name, values)
    return {
        "sha256": sha256(dataset.image_path(name)),
        "source_sha256": sha256(path),
        "mean": round(float(values.mean(dtype=np.float64)), 6),
        "above_half": round(float(np.mean(values >= 0.5)), 6),
    }


def _manifest(
    parameters: Parameters, folder: Path, images: dict[str, dict[str, object]], failures: dict[str, str]
) -> dict[str, object]:
    return {
        "parameters": parameters.flat(),
        "versions": versions(_PACKAGES),
        "imported": {"format": "maps", "folder": folder.name},  # 8 bits, whatever the store could hold
        "images": images,
        "failures": failures,
        "without_fixations": [],  # the maps do not say whom nobody looked at
    }


def _mismatch(found: str, crf: Crf) -> str:
    """What the keys say and what the folder is."""
    if found == "heatmap":
        return f"these are heatmaps, but refine={crf.backend}; set refine=none"
    if crf.backend == "none":
        return "these went through a CRF, but refine=none; set refine=pydensecrf"
    return f"these are of another weight than refine.compat={crf.compat:g}; set the one in the folder's name"
