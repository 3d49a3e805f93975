"""Read files of `fovea-export`."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass

KEY = "fovea"  # of our entry in the file's own metadata
LAYOUT = 1  # of that entry
INPUT, OUTPUT = "image", "probability"
_FIX = "give a whole file of fovea-export"
Run = Callable[[np.ndarray], Tensor]  # an image uint8 [H, W, C] to probabilities [K, H, W]


def read_exported(path: Path, device: torch.device) -> tuple[Callable[[np.ndarray], Mapping[str, Tensor]], Any]:
    """Return the network of an exported file, see `fovea.data.images.predict.Pixels`, and how images are read.

    A ValueError for no such file, a damaged one, another origin or version, or a missing package.
    """
    if not path.is_file():
        raise ValueError(f"checkpoint: no such file {path}; fovea-export writes model.onnx or model.pt2")
    try:
        entry, run = SUFFIXES[path.suffix.lower()](path, device)
    except ImportError as error:
        raise ValueError(f"checkpoint: {path} needs onnxruntime; install it with `make export`") from error
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"checkpoint: {path} is damaged, or not a model for this machine; {_FIX}") from error
    content = json.loads(entry) if entry else {}
    if not isinstance(content, Mapping) or "layout" not in content:
        raise ValueError(f"checkpoint: {path} was not written by fovea-export; {_FIX}")
    if content["layout"] != LAYOUT:
        other = f"by fovea {content.get('version')} (layout {content['layout']}, this version reads {LAYOUT})"
        raise ValueError(f"checkpoint: {path} was exported {other}; export its checkpoint again")
    return lambda pixels: {"prediction": run(pixels)[None]}, content["data"]


def _onnx(path: Path, device: torch.device) -> tuple[str | None, Run]:
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=[*providers, "CPUExecutionProvider"])
    entry = session.get_modelmeta().custom_metadata_map.get(KEY)
    return entry, lambda pixels: torch.from_numpy(session.run([OUTPUT], {INPUT: pixels})[0])


def _torch(path: Path, device: torch.device) -> tuple[str | None, Run]:
    extra = {KEY: ""}
    with _no_pickled_code():
        program = torch.export.load(path, extra_files=extra)
    module = move_to_device_pass(program, device).module()

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> Tensor:
        probability: Tensor = module(torch.tensor(pixels, device=device))
        return probability

    return extra[KEY], run


@contextmanager
def _no_pickled_code() -> Iterator[None]:
    """Have torch unpickle tensors and plain values only, which `torch.export.load` does not ask for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


SUFFIXES: Mapping[str, Callable[[Path, torch.device], tuple[str | None, Run]]] = {".onnx": _onnx, ".pt2": _torch}
