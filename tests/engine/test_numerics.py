"""What this machine can compute with."""

import os
import shutil

import pytest
import torch
import torch._inductor.config

from fovea.engine.numerics import check, check_compiler, check_precision, device_type


def config(precision: object) -> dict:
    return {"trainer": {"precision": precision, "accelerator": "cpu"}, "compile": False}


def test_what_a_device_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for precision in (None, "32-true", "bf16-mixed"):
        check(config(precision))
    with pytest.raises(ValueError, match=r"trainer\.precision=16-mixed needs a GPU; .*bf16-mixed or 32-true"):
        check(config("16-mixed"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    check_precision("16-mixed", "cuda")
    with pytest.raises(ValueError, match=r"Tesla T4 has no bfloat16; set 16-mixed"):
        check_precision("bf16-mixed", "cuda")


@pytest.mark.parametrize(("cuda", "mps", "found"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_is_the_device_of_the_machine(cuda: bool, mps: bool, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    assert device_type("auto") == found
    assert device_type("cpu") == "cpu"


@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="needs a C++ compiler")
def test_compiles_where_a_compiler_is() -> None:
    check_compiler("cpu")  # torch 2.11 refused an option that 2.6 and 2.15 know


def test_missing_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "/missing/g++"))

    with pytest.raises(
        ValueError, match=r"No working C\+\+ compiler found.* install .* or set compile=false"
    ) as caught:
        check_compiler("cpu")  # also where an earlier call has compiled

    assert "\n" not in str(caught.value)
