"""An exported file predicts as its checkpoint, for each network, mode and size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

import fovea
from fovea.engine.checkpoint import load
from fovea.engine.export.write import FILES, export
from fovea.models.propagation import propagate
from fovea.runtime.config import config_folder, locate
from fovea.supervision.full import Full
from fovea.supervision.tta import MeanOverFlips

from .tiny import OneLayer, config_of, saved

pytest.importorskip("onnxruntime")
onnx_ir = pytest.importorskip("onnx_ir")
CPU = torch.device("cpu")
SIZES = [(64, 64), (64, 101), (37, 50), (333, 401), (1, 2)]
CHOICES = [path for path in sorted((config_folder() / "supervision").glob("*.yaml")) if path.stem != "cmc"]  # of images
TARGETS = {path.stem: OmegaConf.load(path).get("_target_") for path in CHOICES}
ENSEMBLES = ("probabilities", "quality")
# A mode for each way to predict.
MODES = {locate(target, "_target_").forward: mode for mode, target in TARGETS.items() if target}.values()
CASES = [
    *[("one_layer", "model.onnx", [f"supervision={mode}"]) for mode in MODES],
    *[("one_layer", "model.onnx", ["supervision=multi_level", f"supervision.ensemble={each}"]) for each in ENSEMBLES],
    *[(backbone, name, ["supervision=full"]) for backbone in ("basic_unet", "smp") for name in FILES.values()],
    ("basic_unet", "model.onnx", ["supervision=full", "data.classes=3"]),
    ("basic_unet", "model.onnx", ["supervision=full", "data.channels=1", "+data.normalize.normalization=image"]),
    ("one_layer", "model.pt2", ["supervision=multi_level"]),
]


@pytest.fixture(autouse=True, scope="module")
def trust() -> Iterator[None]:
    """Let checkpoints name the network of `tiny.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEA_TRUSTED", OneLayer.__module__)
        yield


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.*not writable")
@pytest.mark.parametrize(("backbone", "name", "overrides"), CASES)
def test_equal_to_the_checkpoint(backbone: str, name: str, overrides: list[str], tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "a.ckpt", *overrides, backbone=backbone)
    module, config, *_ = load(checkpoint, CPU)
    assert export(module, config["data"], tmp_path / name) < 1e-4
    ours, exported = fovea.load(checkpoint), fovea.load(tmp_path / name)
    for sides in SIZES:
        image = np.random.default_rng(sum(sides)).integers(0, 256, (*sides, config["data"]["channels"]), np.uint8)
        image.setflags(write=False)  # like np.asarray of an image of Pillow
        expected, found = ours.predict(image), exported.predict(image)
        np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4, err_msg=str(sides))
        assert found.mask.shape == sides
        if expected.probability.shape[0] == 1:
            sure = np.abs(expected.probability[0] - 0.5) > 1e-4
            np.testing.assert_array_equal(found.mask[sure], expected.mask[sure])
            assert sides == (1, 2) or expected.probability.std() > 1e-3


@pytest.mark.slow
def test_the_largest_component_is_kept_as_in_the_training(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
    masks = {}
    for largest in (False, True):
        given = "supervision=full", "data.classes=3", f"data.largest_component={str(largest).lower()}"
        checkpoint = saved(tmp_path / "a.ckpt", *given, backbone="one_layer")
        module, config, *_ = load(checkpoint, CPU)
        export(module, config["data"], tmp_path / "model.pt2")
        masks[largest] = [fovea.load(path).predict(image).mask for path in (checkpoint, tmp_path / "model.pt2")]
        np.testing.assert_array_equal(*masks[largest])
    assert 0 < np.count_nonzero(masks[True][0]) < np.count_nonzero(masks[False][0])


@pytest.mark.slow
def test_flips_are_in_the_file(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "a.ckpt", backbone="one_layer")
    module, config, *_ = load(checkpoint, CPU)
    export(MeanOverFlips(module, [-1, -2]).eval(), config["data"], tmp_path / "model.onnx")
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
    expected = fovea.load(checkpoint, axes=[-1, -2]).predict(image).probability
    np.testing.assert_allclose(fovea.load(tmp_path / "model.onnx").predict(image).probability, expected, atol=1e-4)
    with pytest.raises(ValueError, match="export its checkpoint again with tta=flips"):
        fovea.load(tmp_path / "model.onnx", axes=[-1])


class Propagated(torch.nn.Conv2d):
    """A network with an operator of our own."""

    def forward(self, image: Tensor) -> Tensor:
        return propagate(super().forward(image))


@pytest.mark.slow
def test_an_operator_that_onnx_lacks(tmp_path: Path) -> None:
    data = config_of()["data"]
    mode = Full(lambda: Propagated(3, 1, 1), torch.nn.BCEWithLogitsLoss()).eval()
    with pytest.raises(ValueError, match=r"fovea\.propagate.*choose format=torch") as caught:
        export(mode, data, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value) and not (tmp_path / "model.onnx").exists()
    assert export(mode, data, tmp_path / "model.pt2") < 1e-4


def test_a_file_that_differs_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "model.pt2").write_bytes(b"earlier")
    made = {"_captured": None, "_torch": b"another"}
    made["read_exported"] = lambda pixels: {"prediction": torch.full((1, 1, *pixels.shape[:2]), 9.0)}, {}
    for name, result in made.items():
        monkeypatch.setattr(f"fovea.engine.export.write.{name}", lambda *arguments, result=result: result)
    mode = Full(lambda: OneLayer(3, 1), torch.nn.BCEWithLogitsLoss()).eval()
    with pytest.raises(ValueError, match=r"the file differs by .* from the checkpoint"):
        export(mode, config_of()["data"], path)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"earlier"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    module, config, *_ = load(saved(folder / "a.ckpt", backbone="one_layer"), CPU)
    for name in ("model.onnx", "model.pt2"):
        export(module, config["data"], folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_other_files_are_refused(suffix: str, exported: Path, tmp_path: Path) -> None:
    whole, path = (exported / f"model{suffix}").read_bytes(), tmp_path / f"model{suffix}"
    with pytest.raises(ValueError, match="no such file"):
        fovea.load(path)
    for content in (b"", b"no model", whole[: len(whole) // 2], whole[:-100]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged") as caught:
            fovea.load(path)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{"layout": 9, "version": "7.0", "data": {}}', r"by fovea 7\.0 \(layout 9.*export its checkpoint again"),
        (None, "not written by fovea-export"),
    ],
)
def test_another_version_or_origin_is_refused(entry: str | None, message: str, exported: Path, tmp_path: Path) -> None:
    model = onnx_ir.load(exported / "model.onnx")
    del model.metadata_props["fovea"]
    if entry:
        model.metadata_props["fovea"] = entry
    onnx_ir.save(model, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=message):
        fovea.load(tmp_path / "model.onnx")
