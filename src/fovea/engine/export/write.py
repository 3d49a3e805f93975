"""Write a trained model as one graph that needs no fovea."""

import io
import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from fovea import __version__
from fovea.data.images.predict import FromPixels
from fovea.engine.export.graph import Graph, normalizer
from fovea.engine.export.read import INPUT, KEY, LAYOUT, OUTPUT, read_exported
from fovea.runtime.config import instantiate
from fovea.runtime.errors import first_line
from fovea.runtime.files import write_bytes

log = logging.getLogger(__name__)
Format = Literal["onnx", "torch"]
FILES: Mapping[Format, str] = {"onnx": "model.onnx", "torch": "model.pt2"}
SCRIPT = Path(__file__).with_name("run.py")  # needs onnxruntime, NumPy and Pillow alone; copied beside model.onnx
EQUAL, WRONG = 1e-4, 1e-2  # differences of probabilities: of rounding at most, and of a wrong operator at least
# Keys of `data` that an image is read by, and its prediction cleared.
_READING = ("_target_", "channels", "classes", "exif", "labels", "largest_component", "range")
_SIDES = ((37, 64), (150, 91))  # sizes that a file is compared at


def export(module: nn.Module, data: Mapping[str, Any], path: Path) -> float:
    """Write `path`, `.onnx` or `.pt2`, and return its largest difference from the module on two images of noise.

    The supervision module is for images, in evaluation mode, on the CPU. `data` is the group of its training. A
    ValueError if the normalization or an operator cannot be exported, a package is missing, or the file differs.
    """
    normalize = normalizer(instantiate(data["normalize"], "data.normalize"), data["channels"])
    graph = Graph(module, data["size"], normalize).eval()
    program = _captured(graph, data["channels"])
    reading = {key: data[key] for key in _READING if key in data}
    reading["dataset"] = {"_target_": data["dataset"]["_target_"]}
    entry = json.dumps({"layout": LAYOUT, "version": __version__, "data": reading}, sort_keys=True)
    content = _onnx(program, entry) if path.suffix == ".onnx" else _torch(program, entry)
    with TemporaryDirectory() as folder:  # compared before it replaces an earlier file
        write_bytes(written := Path(folder, path.name), content)
        difference = _difference(FromPixels(data, module, torch.device("cpu")), written, data["channels"])
    write_bytes(path, content)
    return difference


def _captured(graph: Graph, channels: int) -> ExportedProgram:
    example = torch.zeros(37, 53, channels, dtype=torch.uint8)
    sides = {0: Dim("height", min=1, max=2**15), 1: Dim("width", min=1, max=2**15)}
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            program = torch.export.export(graph, (example,), dynamic_shapes={"image": sides})
    except Exception as error:  # of whatever the network does
        raise ValueError(f"checkpoint: torch.export cannot follow its network ({_innermost(error)})") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # has the paths of this machine
    return program


def _onnx(program: ExportedProgram, entry: str) -> bytes:
    try:
        import onnx_ir
        import onnxscript  # noqa: F401  # torch needs it
    except ImportError as error:
        raise ValueError("format=onnx needs onnx and onnxscript; install them with `make export`") from error
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they log each step
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            written = torch.onnx.export(
                program, input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False, external_data=False
            )
    except torch.onnx.OnnxExporterError as error:
        why = f"an operator of the network cannot be written ({_innermost(error)})"
        raise ValueError(f"format=onnx: {why}; choose format=torch") from error
    assert written is not None
    for node in written.model.graph.all_nodes():
        node.metadata_props.clear()  # where in the code it comes from, with the paths of this machine
    written.model.metadata_props[KEY] = entry
    content: bytes = onnx_ir.to_proto(written.model).SerializeToString()
    return content


def _torch(program: ExportedProgram, entry: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={KEY: entry})
    return buffer.getvalue()


def _difference(expected: FromPixels, path: Path, channels: int) -> float:
    """Return the largest difference of probabilities; refuse a wrong file."""
    network, _ = read_exported(path, torch.device("cpu"))
    rng = np.random.default_rng(0)
    differences = []
    for sides in _SIDES:
        pixels = rng.integers(0, 256, (*sides, channels), np.uint8)
        values = [each(pixels)["prediction"].numpy() for each in (expected, network)]
        differences.append(float(np.abs(values[0] - values[1]).max()))
    largest = max(differences)
    if not largest <= WRONG:
        raise ValueError(f"format: the file differs by {largest:.1e} from the checkpoint; choose the other format")
    if largest > EQUAL:
        log.warning("%s differs by %.1e from the checkpoint on images of noise: large logits", path.name, largest)
    return largest


def _innermost(error: BaseException) -> str:
    """Return the first sentence of the error that the others come from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
