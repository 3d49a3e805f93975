"""`fovea-export`, and what is done with its files, through the real commands."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.files import read_image

from .commands import Run

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow
VOLUMES = Path(__file__).parents[1] / "reference" / "before_the_move" / "volumes.ckpt"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an image in each form that people have: gray, with transparency, with an EXIF orientation, …"""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, mode, sides in [("rgb", "RGB", (40, 57)), ("gray", "L", (33, 20)), ("rgba", "RGBA", (25, 31))]:
        shape = sides if mode == "L" else (*sides, len(mode))
        Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode).save(folder / f"{name}.png")
    for suffix in ("jpg", "tif", "png"):
        turned = Image.fromarray(rng.integers(0, 256, (30, 44, 3), np.uint8))
        turned.save(folder / f"turned_{suffix}.{suffix}", exif=exif)
    return folder


def test_all_ways_give_equal_masks(run: Run, checkpoint: str, images: Path, tmp_path: Path) -> None:
    assert run("export", checkpoint, "out=exported", "name=Mine", "+licenses.folder=CC0").status == 0
    assert run("predict", checkpoint, f"input={images}", "out=plain", "device=cpu").status == 0
    line = ["checkpoint=exported/model.onnx", f"input={images}"]
    assert run("predict", *line, "out=by_onnx", "device=cpu").status == 0
    refused = run("predict", *line, "out=flipped", "tta=flips").error("predict")
    assert "export its checkpoint again with tta=flips" in refused

    for path in images.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    program = [sys.executable, tmp_path / "exported" / "run.py"]
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "rgb.bmp").write_bytes((tmp_path / "rgb.png").read_bytes())
    names = ["deep.png", *sorted(path.name for path in images.iterdir()), "rgb.bmp"]
    ended = subprocess.run([*program, *names], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "deep.png: more than 8 bits per channel; scale it to 8 bits as model_card.md says",
        "rgb.bmp: rgb_mask.png is there already; move it",
    ]
    for path in images.iterdir():
        expected = read_image(tmp_path / "plain" / "masks" / f"{path.stem}.png", 1)
        for other in (tmp_path / "by_onnx" / "masks" / f"{path.stem}.png", tmp_path / f"{path.stem}_mask.png"):
            found = read_image(other, 1)
            assert found.shape == expected.shape, path
            assert (found != expected).mean() < 0.01, path  # pixels at 0.5 may differ by rounding

    card = json.loads((tmp_path / "exported" / "model_card.json").read_text())
    text = (tmp_path / "exported" / "model_card.md").read_text()
    assert card["name"] == "Mine" and card["license"] == "CC0" and card["training"]["images"] == 6
    assert card["training"]["labels"]["made_from"]["name"] == "gaze" and card["training"]["labels"]["refine"] == "none"
    assert card["scores"]["val"]["n"] == 2 and card["scores"]["val"]["dice"]["ci95"]
    assert "CC0" in text and "No evaluation on test images" in text and "None" not in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["format=tflite"], "format must be one of 'onnx' or 'torch', got 'tflite'"),
        ([f"checkpoint={VOLUMES}"], "reads volumes, which cannot be exported; use fovea.load(checkpoint)"),
        (["checkpoint=none.ckpt"], "no such file none.ckpt"),
        (
            ["format=torch"],
            "out/model.onnx was exported from another checkpoint, and a folder has one model card; set another out",
        ),
    ],
)
def test_refused(run: Run, checkpoint: str, line: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").touch()
    words = line if any(word.startswith("checkpoint=") for word in line) else [checkpoint, *line]
    assert message in run("export", *words, "out=out").error("export")
