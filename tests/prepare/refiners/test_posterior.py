"""The posterior of a trained model and the label."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fovea.engine.model import Foreground, _loaded, load
from fovea.prepare.refiners.posterior import Posterior
from fovea.prepare.refiners.unrefined import Unrefined

TRAINED = Path(__file__).parents[2] / "reference" / "before_the_move"
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def test_bayes_rule_by_hand() -> None:
    posterior = Posterior(Unrefined(), lambda image: np.array([[0.8, 0.8, 0.5]]), weight=2.0, threshold=0.3)
    # odds 4 times the square of the odds of the prior over those of the threshold
    odds = [4 * (1.0 / (3 / 7)) ** 2, 4, 1 * (1 / 9 / (3 / 7)) ** 2]
    refined = posterior(IMAGE, np.array([[0.5, 0.3, 0.1]], np.float32))
    np.testing.assert_allclose(refined, [[value / (1 + value) for value in odds]], rtol=1e-5)
    assert refined.dtype == np.float32


@pytest.mark.parametrize(("threshold", "side"), [(0.3, "foreground"), (0.6, "background")])
def test_threshold_of_labels_that_leave_pixels_at_a_half(threshold: float, side: str) -> None:
    scribbles = np.array([[1.0, 0.5, 0.5, 0.5, 0.0]], np.float32)
    network = np.array([[0.3, 0.8, 0.1, 0.4, 0.6]])
    with pytest.raises(ValueError, match=f"{side} likely where nobody labeled .* set refine.threshold=0.5"):
        Posterior(Unrefined(), lambda image: network, weight=2.0, threshold=threshold)(IMAGE, scribbles)
    refined = Posterior(Unrefined(), lambda image: network, weight=2.0, threshold=0.5)(IMAGE, scribbles)
    np.testing.assert_allclose(refined, [[1, 0.8, 0.1, 0.4, 0]], atol=1e-4)  # the strokes stay


def test_no_weight_leaves_the_prediction() -> None:
    posterior = Posterior(Unrefined(), lambda image: np.array([[0.8, 0.2]]), weight=0.0, threshold=0.3)
    np.testing.assert_allclose(posterior(IMAGE, np.array([[0.0, 1.0]], np.float32)), [[0.8, 0.2]], rtol=1e-6)


class TestForeground:
    def test_mean_over_flips(self) -> None:
        model, network = load(TRAINED / "images.ckpt"), Foreground(str(TRAINED / "images.ckpt"), "cpu", [-1])
        flipped = model.predict(IMAGE[:, ::-1].copy()).probability[0][:, ::-1]
        expected = (model.predict(IMAGE).probability[0] + flipped) / 2
        np.testing.assert_allclose(network(IMAGE), expected, atol=1e-5)

    def test_run_folder_gives_its_best_checkpoint(self, tmp_path: Path) -> None:
        checkpoints = tmp_path / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / "last.ckpt").write_bytes(b"not read")
        (checkpoints / "best.ckpt").write_bytes((TRAINED / "images.ckpt").read_bytes())
        assert Foreground(str(tmp_path), "cpu", []).digest == Foreground(str(TRAINED / "images.ckpt"), "cpu", []).digest

    def test_mean_of_several_models(self, tmp_path: Path) -> None:
        other = torch.load(TRAINED / "images.ckpt", weights_only=True)
        other["state_dict"] = {key: 0.9 * values for key, values in other["state_dict"].items()}
        other["DataModule"] = {"ids": ["b", "a"]}
        torch.save(other, tmp_path / "other.ckpt")
        paths = [str(TRAINED / "images.ckpt"), str(tmp_path / "other.ckpt")]
        one, two = (Foreground(path, "cpu", []) for path in paths)
        both = Foreground(paths, "cpu", [])
        assert np.abs(one(IMAGE) - two(IMAGE)).max() > 1e-3
        np.testing.assert_allclose(both(IMAGE), (one(IMAGE) + two(IMAGE)) / 2, atol=1e-6)
        assert both.digest == f"{one.digest} {two.digest}"
        posterior = Posterior(Unrefined(), both, weight=1.0, threshold=0.5)
        assert posterior.trained_on == sorted({"a", "b", *load(paths[0]).trained_on})
        assert posterior.reading == [{"range": None, "exif": "ignore"}] * 2

    def test_checkpoint_that_is_replaced_before_a_process_loads_it(self, tmp_path: Path) -> None:
        other = torch.load(TRAINED / "images.ckpt", weights_only=True)
        copied = (tmp_path / "best.ckpt").write_bytes
        copied((TRAINED / "images.ckpt").read_bytes())
        network = Foreground(str(tmp_path / "best.ckpt"), "cpu", [])
        before = network(IMAGE)
        other["state_dict"] = {key: 0.9 * values for key, values in other["state_dict"].items()}
        torch.save(other, tmp_path / "best.ckpt")
        np.testing.assert_array_equal(network(IMAGE), before)  # loaded once
        assert np.abs(Foreground(str(tmp_path / "best.ckpt"), "cpu", [])(IMAGE) - before).max() > 1e-3
        _loaded.cache_clear()  # as in another process
        with pytest.raises(ValueError, match=r"best\.ckpt was replaced meanwhile"):
            network(IMAGE)

    @pytest.mark.parametrize(("checkpoint", "message"), [("volumes.ckpt", "reads volumes"), ("none.ckpt", "none.ckpt")])
    def test_checkpoint_that_does_not_fit(self, checkpoint: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Foreground(str(TRAINED / checkpoint), "cpu", [])
