"""Arguments are checked from source, without importing the target."""

import subprocess
import sys
from typing import Any

import pytest

from fovea.runtime.signatures import check_arguments, signature_of

SCHEDULER = {"_target_": "fovea.engine.schedules.cosine_with_warmup", "_partial_": True, "warmup_steps": 5}
OPTIMIZER = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SCHEDULER | {"warmup_steps": -1}, r"^part\.warmup_steps must be at least 0, got -1$"),
        (SCHEDULER | {"warmup_step": 1}, r"^part\.warmup_step is not .* did you mean part\.warmup_steps\?$"),
        (OPTIMIZER | {"momentum": 1}, r"^part\.momentum is not .* of torch\.optim\.AdamW; there are params, lr"),
        (SCHEDULER | {"_partial_": False}, r"^part\.max_steps is missing"),
        ({"_target_": "pytorch_lightning.Trainer", "max_step": 1}, r"did you mean part\.max_steps\?$"),
    ],
)
def test_wrong_argument_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_arguments({"part": config})


def test_valid_arguments_pass() -> None:
    trainer = {"_target_": "pytorch_lightning.Trainer"}
    check_arguments({"scheduler": SCHEDULER, "optimizer": OPTIMIZER, "trainer": trainer})
    check_arguments({"a": {"_target_": "fovea.no.such.Class", "x": 1}, "b": {"_target_": "torch.nn.BCELoss", "x": 1}})
    signature = signature_of("fovea.runtime.objective.Objective")  # a dataclass
    assert signature is not None and signature.required == {"score", "split"}
    signature = signature_of("fovea.engine.loggers.Tracker")
    assert signature is not None and signature.any_keyword and signature.required == {"log_checkpoint"}


def test_nothing_is_imported() -> None:
    code = (
        "import sys; from fovea.runtime.signatures import check_arguments\n"
        f"check_arguments({{'s': {SCHEDULER}, 'o': {OPTIMIZER}, 't': {{'_target_': 'pytorch_lightning.Trainer'}}}})\n"
        "assert not {'torch', 'pytorch_lightning'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
