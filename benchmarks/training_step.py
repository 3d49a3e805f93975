"""Time the whole training step of the published two-level network, with the propagation unfolded and with ours.

    python benchmarks/training_step.py [--batch B] [--size PIXELS] [--threads N] [--device cpu|cuda] [--out FILE.csv]

Each form starts from the same weights on the same batch: forward, backward, one step of SGD. On a CPU, it runs in a
process of its own; core_seconds is the processor time of all threads and shows how much other work disturbed the
seconds, and memory is the peak of the process, libraries and weights included (Linux only).

On a GPU, the default where there is one: seconds of a step, the minimum of several, and the peak of the GPU's memory,
weights and optimizer included. `plain` propagates without Triton. The convolutions of a float32 step use TF32, the
default of PyTorch, but for the row that says otherwise.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _cuda import timed
from _machine import processor, start
from propagation import alone, forget_peak, plain, report, status, unfolded
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fovea.models.basic_unet import BasicUNet2d
from fovea.supervision.multi_level import MultiLevel

FORMS = (
    "unfolded",
    "fovea",
    "fovea, channels-last",
    "fovea, bf16-mixed",
    "fovea, bf16-mixed, channels-last",
)
GPU_FORMS = ("unfolded", "plain", "fovea without TF32", *FORMS[1:], "plain, bf16-mixed")

basic_unet = partial(BasicUNet2d, 3, 1, features=[64, 128, 256, 512, 1024, 128], groups=4)
MULTI_LEVEL = {
    "thresholds": [0.5, 0.3],
    "consistency": "prop",
    "weight": 3.0,
    "init": "independent",
    "ensemble": "logits",
    "window": 100,
    "kernel_size": 5,
    "dilation": 2,
    "similarity": "dot",
}


def main() -> None:
    """Print a row for each form, and write the table to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, help="default: 2 on a CPU, the published 8 on a GPU")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="CSV for the table")
    arguments = parser.parse_args()
    size, threads = arguments.size, arguments.threads
    if arguments.device == "cuda":
        batch, title = arguments.batch or 8, torch.cuda.get_device_name()
        figures = {form: measure_gpu(form, batch, size) for form in GPU_FORMS}
    else:
        batch, title = arguments.batch or 2, f"{threads} cores, {processor()}"
        figures = {form: alone(measure, form, batch, size, threads) for form in FORMS}
    most, slowest, *_ = figures["unfolded"]
    rows = [
        {
            "machine": title,
            "batch": str(batch),
            "size": str(size),
            "form": form,
            "seconds": f"{seconds:.4g}",
            "core_seconds": f"{cores:.2f}",
            "peak_MiB": f"{memory / 2**20:.0f}",
            "times_faster": f"{slowest / seconds:.2f}",
            "times_the_memory": f"{memory / most:.2f}",
            "loss": f"{loss:.6f}",
        }
        for form, (memory, seconds, cores, loss) in figures.items()
    ]
    report(rows, arguments.out)
    if arguments.device == "cpu":
        operations, rate = alone(floor, batch, size, threads)
        print(
            f"floor of the fp32 step: {operations / 1e12:.2f} TFLOP of convolutions at {rate / 1e9:.0f} GFLOP/s, "
            f"the rate of a large matrix product here: {operations / rate:.2f} s"
        )


def floor(batch: int, size: int, threads: int) -> tuple[int, float]:
    """Return the operations of the convolutions of a step, and the operations per second of a large matrix product."""
    torch.set_num_threads(threads)
    network = basic_unet()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(batch, 3, size, size)).sum().backward()
    side = 3000
    left, right = torch.randn(side, side), torch.randn(side, side)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - started)
    return 2 * counter.get_total_flops(), 2 * side**3 / min(times)  # two levels


def measure(form: str, batch: int, size: int, threads: int) -> tuple[int, float, float, float]:
    """Return the peak in bytes, seconds and core-seconds of the second of two steps, and the loss of the first."""
    torch.set_num_threads(threads)
    step = stepper(form, batch, size, "cpu")
    forget_peak()
    losses = []
    for _ in range(2):
        started, worked = time.perf_counter(), time.process_time()
        losses.append(float(step()))
    return status("VmHWM"), time.perf_counter() - started, time.process_time() - worked, losses[0]


def measure_gpu(form: str, batch: int, size: int) -> tuple[float, float, float, float]:
    """Return the same on a GPU, for the fastest of several steps; NaN where the memory does not suffice."""
    torch.backends.cudnn.allow_tf32 = "without TF32" not in form
    torch.cuda.empty_cache()
    held = torch.cuda.memory_allocated()
    try:
        step = stepper(form, batch, size, "cuda")
        loss, worked = float(step()), time.process_time()
        weights = torch.cuda.memory_allocated() - held
        seconds, beyond = timed(step, 5)
    except torch.OutOfMemoryError:
        return (float("nan"),) * 4
    return weights + beyond, seconds, (time.process_time() - worked) / 7, loss


def stepper(form: str, batch: int, size: int, device: str) -> Callable[[], Tensor]:
    """Return a function that does one step and returns its loss."""
    torch.manual_seed(0)
    mode = MultiLevel(basic_unet, nn.BCEWithLogitsLoss(), **MULTI_LEVEL)
    samples = {"image": torch.randn(batch, 3, size, size), "pseudo": torch.rand(batch, 1, size, size)}
    samples, mode = {name: values.to(device) for name, values in samples.items()}, mode.to(device)
    if form.startswith(("unfolded", "plain")):
        mode.propagate = unfolded if form.startswith("unfolded") else plain
    if "channels-last" in form:
        mode = mode.to(memory_format=torch.channels_last)
        samples["image"] = samples["image"].to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(mode.parameters(), lr=1e-4, momentum=0.99, nesterov=True, weight_decay=4e-4)

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled="bf16" in form):
            loss = mode.losses(samples, progress=0.0)["loss"]
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


if __name__ == "__main__":
    start(main)
