"""Compare feature propagation with unfolding the window: seconds, memory and results of forward and backward.

    python benchmarks/propagation.py [--shape B C H W] [--threads N] [--repeats N] [--device cpu|cuda] [--out FILE.csv]
    python benchmarks/propagation.py --device cuda --tune

On a CPU, each form runs in a process of its own. Seconds are the minimum over the repeats; core_seconds is the
processor time of all threads and shows how much other work disturbed them. Memory is the peak of the process beyond the
features, the gradient and the libraries (Linux only).

On a GPU, the default where there is one, a check of the results comes first. Then all forms run in float32 and
bfloat16: milliseconds by CUDA events, and their ratio to the floor, the time in which the features, their gradients and
the results are read and written once at the rate of a large copy. `--tune` times the kernels with other tiles.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from _cuda import copy_rate, timed
from _machine import processor, start
from torch import Tensor
from torch.nn import functional as F

from fovea import propagate

KERNEL, DILATION = 5, 2


def unfolded(features: Tensor) -> Tensor:
    """Compute the textbook form, with 25 copies of the features."""
    batch, channels, height, width = features.shape
    window = F.unfold(features, KERNEL, DILATION, KERNEL // 2 * DILATION).view(batch, channels, -1, height, width)
    weights = (features.unsqueeze(2) * window).sum(dim=1).relu().softmax(dim=1)
    return (weights.unsqueeze(1) * window).sum(dim=2)


def shifted(features: Tensor) -> Tensor:
    """Loop over shifted views, differentiated by PyTorch."""
    height, width = features.shape[2:]
    reach = KERNEL // 2 * DILATION
    padded = F.pad(features, (reach, reach, reach, reach))
    steps = range(0, 2 * reach + 1, DILATION)
    near = [padded[:, :, top : top + height, left : left + width] for top in steps for left in steps]
    weights = torch.stack([(features * view).sum(dim=1) for view in near]).relu().softmax(dim=0)
    output = torch.zeros_like(features)
    for weight, view in zip(weights, near, strict=True):
        output = output + weight.unsqueeze(dim=1) * view
    return output


def plain(features: Tensor) -> Tensor:
    """Compute what fovea does without Triton on a GPU: tensor operations, with a gradient of their own."""
    return torch.ops.fovea.propagate(features.float(), KERNEL, DILATION, False)[0].to(features.dtype)


FORMS: dict[str, Callable[[Tensor], Tensor]] = {"unfolded": unfolded, "shifted": shifted, "fovea": propagate}
GPU_FORMS = {"unfolded": unfolded, "plain": plain, "fovea": propagate}


def main() -> None:
    """Print a row for each form, and write the table to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=4, metavar=("B", "C", "H", "W"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tune", action="store_true", help="time the kernels of a GPU with other tiles")
    parser.add_argument("--out", type=Path, help="CSV for the table")
    arguments = parser.parse_args()
    if arguments.device == "cuda":
        check()
        work = tuned if arguments.tune else on_gpu
        report(work(arguments.shape or [8, 128, 224, 224], arguments.repeats), arguments.out)
        return
    shape, threads = arguments.shape or [2, 128, 224, 224], arguments.threads
    figures = {form: alone(measure, form, shape, threads, arguments.repeats) for form in FORMS}
    rows = [
        {
            "machine": f"{threads} cores, {processor()}",
            "shape": " ".join(map(str, shape)),
            "form": form,
            "seconds": f"{seconds:.3f}",
            "core_seconds": f"{cores:.3f}",
            "extra_MiB": f"{memory / 2**20:.0f}",
            "times_faster": f"{figures['unfolded'][0] / seconds:.1f}",
            "times_the_memory": f"{memory / figures['unfolded'][2]:.3f}",
        }
        for form, (seconds, cores, memory) in figures.items()
    ]
    report(rows, arguments.out)
    output, gradient = alone(differences, shape, threads)
    print(f"fovea against unfolded, of the largest value: output {output:.1e}, gradient {gradient:.1e}")


def variants(shape: list[int]) -> Iterator[tuple[dict[str, str], Tensor, Tensor]]:
    """Yield precision and layout, and features and a gradient of them, on the GPU."""
    for dtype in (torch.float32, torch.bfloat16):
        for name, layout in {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}.items():
            features, grad = (values.detach().to("cuda", dtype, memory_format=layout) for values in inputs(shape))
            yield {"precision": str(dtype).removeprefix("torch."), "layout": name}, features.requires_grad_(), grad


def check() -> None:
    """Compare the kernels with the unfolded form in float64."""
    for title, features, grad in variants([2, 128, 37, 53]):
        exact = features.detach().double().requires_grad_()
        (gradient,) = torch.autograd.grad(expected := unfolded(exact), exact, grad.double())
        pairs = zip(run("fovea", features, grad), (expected.detach(), gradient), strict=True)
        off = [float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs]
        print(*title.values(), "against float64, of the largest value: output {:.1e}, gradient {:.1e}".format(*off))
        if not max(off) < (1e-5 if features.dtype == torch.float32 else 1e-2):
            sys.exit("the results are wrong")


def on_gpu(shape: list[int], repeats: int) -> list[dict[str, str]]:
    """Return a row for each form, precision and layout."""
    rate, rows = copy_rate(), []
    print(f"{torch.cuda.get_device_name()}: a copy moves {rate / 1e12:.2f} TB/s, read and written")
    for title, features, grad in variants(shape):
        for form, function in GPU_FORMS.items():
            if title["layout"] == "NCHW" or form == "fovea":
                row = {"machine": torch.cuda.get_device_name(), "shape": " ".join(map(str, shape)), "form": form}
                rows.append(row | title | gpu_figures(function, features, grad, rate, repeats))
    return rows


def gpu_figures(
    form: Callable[[Tensor], Tensor], features: Tensor, grad: Tensor, rate: float, repeats: int
) -> dict[str, str]:
    """Return times of forward, and of forward and backward, and the memory of both beyond features and gradient."""
    forward, _ = timed(lambda: form(features.detach()), repeats)
    both, memory = timed(lambda: torch.autograd.grad(form(features), features, grad), repeats)
    unit = features.nbytes / rate
    return {
        "forward_ms": f"{forward * 1e3:.3f}",
        "floor_ms": f"{2 * unit * 1e3:.3f}",
        "times_the_floor": f"{forward / (2 * unit):.1f}",
        "both_ms": f"{both * 1e3:.3f}",
        "both_floor_ms": f"{5 * unit * 1e3:.3f}",
        "both_times_the_floor": f"{both / (5 * unit):.1f}",
        "extra_MiB": f"{memory / 2**20:.0f}",
    }


def tuned(shape: list[int], repeats: int) -> list[dict[str, str]]:
    """Return a row for each size of the kernels' tiles."""
    from fovea.models import propagation_triton as kernels

    rate, rows = copy_rate(), []
    for tile, warps in [(2048, 4), (2048, 8), (4096, 4), (4096, 8), (8192, 8)]:
        kernels.FORWARD = kernels.BACKWARD = {"tile": tile, "num_warps": warps}
        for title, features, grad in variants(shape):
            size = {"tile": str(tile), "warps": str(warps)}
            rows.append(size | title | gpu_figures(propagate, features, grad, rate, repeats))
    return rows


def measure(form: str, shape: list[int], threads: int, repeats: int) -> tuple[float, float, int]:
    """Return minimum seconds and core-seconds of forward and backward, and the peak of memory in bytes."""
    torch.set_num_threads(threads)
    features, grad = inputs(shape)
    run(form, *inputs([1, shape[1], 16, 16]))  # imports and compiles
    before = forget_peak()
    times, cores = [], []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        run(form, features, grad)
        times.append(time.perf_counter() - started)
        cores.append(time.process_time() - worked)
    return min(times), min(cores), status("VmHWM") - before


def differences(shape: list[int], threads: int) -> tuple[float, float]:
    """Return the largest difference of outputs and of gradients, as a share of the largest value."""
    torch.set_num_threads(threads)
    features, grad = inputs(shape)
    pairs = zip(run("fovea", features, grad), run("unfolded", features, grad), strict=True)
    output, gradient = (float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)
    return output, gradient


def run(form: str, features: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output and the gradient of the features."""
    output = FORMS[form](features)
    (gradient,) = torch.autograd.grad(output, features, grad)
    return output.detach(), gradient


def inputs(shape: list[int]) -> tuple[Tensor, Tensor]:
    """Return features whose softmax is neither flat nor one-hot, and a gradient."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(*shape, generator=generator) * shape[1] ** -0.25
    return features.requires_grad_(), torch.randn(*shape, generator=generator)


def alone(job: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a call in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(job, *arguments).result()


def forget_peak() -> int:
    """Return the bytes that this process holds, and reset its peak where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def status(field: str) -> int:
    """Return a field of /proc/self/status in bytes: VmRSS, held now, or VmHWM, the peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) * 1024


def report(rows: list[dict[str, str]], out: Path | None) -> None:
    """Print rows, and write them to a CSV."""
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    start(main)
