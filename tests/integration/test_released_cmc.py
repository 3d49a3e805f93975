"""A published CMC checkpoint through the real commands."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity, ScaleIntensityRange

from fovea.models import released
from fovea.models.released import load_cmc

from .commands import Run

pytestmark = pytest.mark.slow

SIDE, CLASSES = 16, 4
HEAD = "decoder.out_tr.conv.conv"


@pytest.fixture
def published(
    filled: Callable[[str], dict[str, torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, torch.Tensor]:
    """Save a checkpoint of four classes in the published layout; use small windows."""
    monkeypatch.setitem(released.CMC_DATA, "size", [SIDE] * 3)
    weights = filled("cmc_checkpoint_layout.json")
    weights |= {f"{HEAD}.{name}": weights[f"{HEAD}.{name}"][:CLASSES].clone() for name in ("weight", "bias")}
    torch.save({"net": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "cmc.pth")
    return weights


def draw(root: Path) -> dict[str, np.ndarray]:
    """Write a case whose volumes are one window on the published grid; return its arrays."""
    rng = np.random.default_rng(0)
    arrays = {"ct": rng.integers(-300, 400, (SIDE,) * 3), "mri": rng.integers(0, 900, (SIDE,) * 3)}
    entry = {}
    for name, values in arrays.items():
        for kind, voxels in {"img": values, "mask": rng.integers(0, CLASSES, values.shape)}.items():
            entry[f"{kind}_{name}"] = f"{kind}/p_{name}.nii.gz"
            (root / kind).mkdir(parents=True, exist_ok=True)
            image = nib.Nifti1Image(voxels.astype(np.int16), np.diag([1.5, 1.5, 2.0, 1.0]))
            image.header.set_xyzt_units("mm")
            nib.save(image, root / entry[f"{kind}_{name}"])
    labels = {str(label): f"organ {label}" for label in range(CLASSES)}
    listed = {"labels": labels, "modalities": ["ct", "mri"], "training": [], "unlabeled_training": []}
    other = {"img_ct": "img/q_ct.nii.gz", "img_mri": "img/q_mri.nii.gz"}
    (root / "dataset.json").write_text(json.dumps(listed | {"unlabeled_training": [other], "testing": [entry]}))
    return arrays


def test_is_evaluated_and_predicted_as_published(run: Run, published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    arrays = draw(tmp_path / "data")
    options = ["checkpoint=cmc.pth", "data=paired_volumes", "data.root=data", "data.num_workers=0", "sheet_rows=0"]
    result = run("evaluate", *options, "split=test", "out=out")
    assert result.status == 0 and result.errors == [], result
    result = run("predict", "checkpoint=cmc.pth", "input=data/img", "out=predicted")
    assert result.status == 0 and result.errors == [], result

    ct = ScaleIntensityRange(-175, 250, 0.0, 1.0, clip=True)(arrays["ct"][None].astype(np.float32))
    mri = NormalizeIntensity(nonzero=True, channel_wise=True)(arrays["mri"][None].astype(np.float32))
    with torch.inference_mode():
        logits = load_cmc(published)(torch.as_tensor(ct)[None], torch.as_tensor(mri)[None])
    with (tmp_path / "out" / "per_image.csv").open() as file:
        scores = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    for name, values in zip(arrays, logits, strict=True):
        guess = np.asarray(nib.load(tmp_path / "predicted" / "masks" / f"p_{name}.nii.gz").dataobj)
        highest = values[0].sort(dim=0, descending=True).values
        sure = (highest[0] - highest[1] > 1e-3 * highest.abs().max()).numpy()
        assert sure.mean() > 0.9 and np.array_equal(guess[sure], values[0].argmax(dim=0).numpy()[sure])
        truth = np.asarray(nib.load(tmp_path / "data" / "mask" / f"p_{name}.nii.gz").dataobj)
        dice = [2 * ((guess == k) & (truth == k)).sum() / ((guess == k).sum() + (truth == k).sum()) for k in (1, 2, 3)]
        assert scores[f"p_{name}"] == pytest.approx(np.mean(dice), abs=1e-6)
