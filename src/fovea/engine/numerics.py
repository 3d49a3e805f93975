"""What the machine can compute with, checked before data are loaded."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import torch

from fovea.runtime.errors import first_line


def check(config: Mapping[str, Any]) -> None:
    """Refuse a `trainer.precision` or a `compile` that this machine cannot do; the ValueError names the key."""
    device = device_type(config["trainer"].get("accelerator", "auto"))
    check_precision(config["trainer"].get("precision"), device)
    if config["compile"]:
        check_compiler(device)


def device_type(accelerator: str) -> str:
    """Return the device type that Lightning uses for an accelerator, e.g. `cpu`, `cuda` or `mps`."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_precision(precision: str | None, device: str) -> None:
    """Refuse a precision that a device type cannot do."""
    if precision == "16-mixed" and device == "cpu":
        raise ValueError("trainer.precision=16-mixed needs a GPU; set trainer.precision=bf16-mixed or 32-true")
    # Older GPUs emulate bfloat16, which is slower than float32.
    bf16 = precision is not None and precision.startswith("bf16")
    if bf16 and device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name()
        raise ValueError(f"trainer.precision={precision}: {name} has no bfloat16; set 16-mixed or 32-true")


def check_compiler(device: str) -> None:
    """Compile one line: only torch.compile knows what it needs, e.g. a C++ compiler, or Triton for a GPU."""
    logging.getLogger("torch._inductor.utils").setLevel(logging.ERROR)  # it reports the files of its attempt
    number = time.time_ns() % 2**20  # new code in each call: what an earlier one has stored needs no compiler
    compiled = torch.compile(lambda values: values.sin() + number)
    try:
        compiled(torch.ones(8, device=device))
    except Exception as error:
        reason = first_line(getattr(error, "inner_exception", error))  # torch 2.6 begins with the name of its backend
        fix = "install a C++ compiler (or set CXX to one) and, for a GPU, Triton, or set compile=false"
        raise ValueError(f"compile=true does not work here on {device} ({reason}); {fix}") from error
