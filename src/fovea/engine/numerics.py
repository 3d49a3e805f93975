"""What the machine can compute with, found out before anything is loaded."""

import logging
from collections.abc import Mapping
from typing import Any

import torch

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")


def check(config: Mapping[str, Any]) -> None:
    """Refuse a precision or a compilation that this machine, or this configuration, cannot do.

    Args:
        config: `trainer.precision`, `trainer.accelerator`, `channels_last` and `compile`, as in `configs/train.yaml`.

    Raises:
        ValueError: see the message.
    """
    for key in ("channels_last", "compile"):
        if not isinstance(config[key], bool):
            raise ValueError(f"{key}={config[key]} is neither true nor false; give one of the two")
    device = device_type(config["trainer"].get("accelerator", "auto"))
    check_precision(config["trainer"].get("precision"), device)
    if config["compile"]:
        check_compiler(device)


def device_type(accelerator: str) -> str:
    """The kind of device that Lightning takes for an accelerator: `cpu`, `cuda`, `mps`, or another that was named."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_precision(precision: str | None, device: str) -> None:
    """Refuse a precision that is misspelt, or that a kind of device cannot do.

    Raises:
        ValueError: see the message.
    """
    if precision is None:  # Lightning's default
        return
    if precision not in PRECISIONS:
        raise ValueError(f"trainer.precision={precision} is unknown; choose {', '.join(PRECISIONS)}")
    if precision == "16-mixed" and device == "cpu":
        raise ValueError(
            "trainer.precision=16-mixed needs a GPU (on a CPU, Lightning would take bfloat16 in its place); "
            "set trainer.precision=bf16-mixed or 32-true"
        )
    # Older GPUs emulate bfloat16, which is slower than float32.
    if (
        precision.startswith("bf16")
        and device == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        name = torch.cuda.get_device_name()
        raise ValueError(
            f"trainer.precision={precision}: {name} has no bfloat16; set trainer.precision=16-mixed or 32-true"
        )


def check_compiler(device: str) -> None:
    """Compile one line, since what torch.compile wants of a machine is best known to itself.

    Raises:
        ValueError: something is missing: a C++ compiler for a CPU, Triton and a C compiler for a GPU.
    """
    logging.getLogger("torch._inductor.utils").setLevel(logging.ERROR)  # it would tell where it left its attempt
    trial = torch.compile(_trial, options={"force_disable_caches": True})  # a cached one would need no compiler
    try:
        trial(torch.ones(8, device=device))
    except Exception as error:
        reason = str(error).strip().splitlines() or [""]
        raise ValueError(
            f"compile=true: torch.compile does not work here on {device} ({reason[0]}); install what is missing "
            "(a C++ compiler such as g++, or the variable CXX with the path of one; for a GPU also Triton), "
            "or set compile=false"
        ) from error


def _trial(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1
