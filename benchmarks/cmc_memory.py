"""Measure the memory of the unlabeled terms of cross-modality learning at the published crop and widths.

    python benchmarks/cmc_memory.py [--batch N] [--size SIDE] [--threads N] [--out FILE.csv]

Features have the shape of the published network: 512 channels at an eighth of the sides of a crop, 16^3 of 128^3. Class
probabilities have the resolution of the crop and 14 classes. The baseline contrasts voxels instead of channels, each
with the same place in the other modality. Each term runs in a process of its own, forward and backward. `extra_MiB` is
the peak of the process beyond its inputs, and includes their gradient, `gradient_MiB` (Linux only).
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _machine import processor, start
from propagation import alone, forget_peak, report, status
from torch import Tensor

from fovea.losses.cross_modality import ntxent, overlap_consistency, prototype_consistency, semantic_consistency

CHANNELS, CLASSES, STRIDE = 512, 14, 8
Pair = list[Tensor]


def voxels(features: Pair, probabilities: Pair) -> Tensor:
    """Compute the baseline, with a descriptor for each voxel."""
    return ntxent(*(modality.flatten(2).mT for modality in features), 0.5)


TERMS: dict[str, Callable[[Pair, Pair], Tensor]] = {
    "voxels": voxels,
    "channel": lambda features, probabilities: semantic_consistency(features, 4, 0.5),
    "prototype": lambda features, probabilities: prototype_consistency(features, probabilities, 0.5),
    "overlap": lambda features, probabilities: overlap_consistency(probabilities),
}


def main() -> None:
    """Print a row for each term, and write the table to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1, help="crops of each modality")
    parser.add_argument("--size", type=int, default=128, help="side of a crop in voxels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="CSV for the table")
    arguments = parser.parse_args()
    rows = []
    for term in TERMS:
        extra, gradient, cores = alone(measure, term, arguments.batch, arguments.size, arguments.threads)
        rows.append(
            {
                "machine": f"{arguments.threads} cores, {processor()}",
                "batch": str(arguments.batch),
                "crop": f"{arguments.size}^3",
                "features": f"{CHANNELS} x {arguments.size // STRIDE}^3",
                "term": term,
                "extra_MiB": f"{extra / 2**20:.0f}",
                "gradient_MiB": f"{gradient / 2**20:.0f}",
                "core_seconds": f"{cores:.2f}",
            }
        )
    report(rows, arguments.out)


def measure(term: str, batch: int, size: int, threads: int) -> tuple[int, int, float]:
    """Return the peak beyond the inputs and the gradients of the inputs, in bytes, and core-seconds."""
    torch.set_num_threads(threads)
    run(term, *inputs(1, 2 * STRIDE))  # the first call of the libraries takes memory of its own
    features, probabilities = inputs(batch, size)
    before, worked = forget_peak(), time.process_time()
    run(term, features, probabilities)
    held, cores = status("VmHWM") - before, time.process_time() - worked
    return held, sum(tensor.grad.nbytes for tensor in features + probabilities if tensor.grad is not None), cores


def run(term: str, features: Pair, probabilities: Pair) -> None:
    """Run forward and backward."""
    TERMS[term](features, probabilities).backward()


def inputs(batch: int, size: int) -> tuple[Pair, Pair]:
    """Return features and class probabilities of two modalities."""
    generator = torch.Generator().manual_seed(0)
    deep, full = (batch, CHANNELS, *[size // STRIDE] * 3), (batch, CLASSES, *[size] * 3)
    features = [torch.randn(deep, generator=generator).requires_grad_() for _ in range(2)]
    return features, [torch.rand(full, generator=generator).requires_grad_() for _ in range(2)]


if __name__ == "__main__":
    start(main)
