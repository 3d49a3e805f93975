"""The simulated observer looks at what there is to see, as well as it is said to."""

import shutil
from binascii import crc32
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from fovea.data.fixations import Fixations, read_fixations
from fovea.data.images.folder import Folder
from fovea.data.images.kvasir import Kvasir
from fovea.prepare.labels.heatmap import heatmap
from fovea.prepare.quality import column, fixations_inside, means, measure
from fovea.simulate.gaze import Observer, Trial, rows, simulate, simulate_folder

EXACT = Observer(accuracy=0.0, precision=0.0)


def ellipse(centre: tuple[int, int] = (70, 40), axes: tuple[int, int] = (30, 18)) -> np.ndarray:
    return cv2.ellipse(np.zeros((100, 140), np.uint8), centre, axes, 20, 0, 360, 1, -1)


def look(mask: np.ndarray, observer: Observer, seed: int = 0) -> Trial:
    return simulate(mask, observer, np.random.default_rng(seed))


def inside(mask: np.ndarray, observer: Observer) -> float:
    trials = (look(mask, observer, seed) for seed in range(40))
    return float(np.mean([fixations_inside(trial.x.clip(0, 1), trial.y.clip(0, 1), mask) for trial in trials]))


def test_equal_arguments_give_equal_rows() -> None:
    assert rows("a", "a.png", ellipse(), Observer(), 0) == rows("a", "a.png", ellipse(), Observer(), 0)


@pytest.mark.parametrize(("image_id", "seed"), [("b", 0), ("a", 1)])
def test_another_image_or_seed_gives_other_rows(image_id: str, seed: int) -> None:
    assert rows(image_id, "a.png", ellipse(), Observer(), seed) != rows("a", "a.png", ellipse(), Observer(), 0)


def test_most_fixations_are_inside_the_target() -> None:
    assert 0.8 < inside(ellipse(), Observer()) < 0.97


@pytest.mark.parametrize("noise", ["precision", "accuracy"])
def test_more_noise_means_fewer_inside(noise: str) -> None:
    calm, shaky = replace(EXACT, **{noise: 0.02}), replace(EXACT, **{noise: 0.15})
    assert inside(ellipse(), shaky) < inside(ellipse(), calm) - 0.1


def test_accuracy_shifts_a_trial_as_a_whole() -> None:
    still = look(ellipse(), EXACT)
    offset = look(ellipse(), replace(EXACT, accuracy=0.01)).x - still.x
    np.testing.assert_allclose(offset, offset[0], atol=1e-12)


def test_a_target_is_explored_from_its_centre_outwards() -> None:
    trial = look(ellipse(), replace(EXACT, scan=0.0))
    distance = np.hypot(trial.x * 140 - 70.5, trial.y * 100 - 40.5)[1:]  # the first fixation searches
    assert distance[:4].mean() < 0.6 * distance[-4:].mean()


def test_both_targets_are_visited() -> None:
    left, right = ellipse((30, 50), (16, 12)), ellipse((110, 50), (12, 16))
    trial = look(left | right, EXACT)
    assert min(fixations_inside(trial.x, trial.y, left), fixations_inside(trial.x, trial.y, right)) > 0.2


def test_every_speck_is_visited_though_there_are_more_of_them_than_fixations() -> None:
    specks = np.zeros((60, 60), np.uint8)
    specks[5::10, 5::10] = 1
    trial = look(specks, replace(EXACT, fixations=10.0))
    seen = {(int(y * 60), int(x * 60)) for x, y in zip(trial.x, trial.y, strict=True)}
    assert set(zip(*np.nonzero(specks), strict=True)) <= seen


def test_a_target_of_one_pixel_is_hit() -> None:
    mask = np.zeros((50, 50), np.uint8)
    mask[40, 10] = 255
    assert inside(mask, EXACT) > 0.85


def test_an_empty_mask_is_scanned() -> None:
    trial = look(np.zeros((40, 60), np.uint8), Observer())
    assert len(trial.x) > 10 and np.std(trial.x) > 0.05


def test_the_eyes_stay_on_the_image() -> None:
    trial = look(np.zeros((40, 60), np.uint8), replace(EXACT, fixations=400.0))
    assert min(trial.x.min(), trial.y.min()) >= 0 and max(trial.x.max(), trial.y.max()) <= 1


def test_a_poor_tracker_sees_them_beside_it_and_the_table_says_so(folder: Folder) -> None:
    count = simulate_folder(folder, folder.root / "out.csv", Observer(accuracy=0.5, precision=0.5))
    table = read_fixations(folder.root / "out.csv", folder.ids)
    beside = table.dropped["outside_image"]
    assert beside > 0 and table.used + beside == count
    assert sum(fixations.outside for fixations in table.images.values()) == beside


def test_durations_are_those_asked_for() -> None:
    duration = np.concatenate([look(ellipse(), Observer(), seed).duration for seed in range(60)])
    assert (duration.mean(), duration.std()) == pytest.approx((250, 77), rel=0.06) and duration.min() >= 60


def test_a_fixation_starts_after_the_one_before_has_ended() -> None:
    trial = look(ellipse(), Observer())
    assert (trial.start[1:] >= trial.start[:-1] + trial.duration[:-1]).all()


def test_the_number_of_fixations_is_the_mean_asked_for() -> None:
    counts = [len(look(ellipse(), Observer(fixations=12.0), seed).x) for seed in range(80)]
    assert np.mean(counts) == pytest.approx(12, rel=0.1)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "far", True])
def test_an_observer_without_sense_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"observer\.precision: .* is not possible"):
        Observer(precision=value)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name in "abc":
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"{name}.png"), ellipse() * 255)
    return Folder(tmp_path)


def test_the_table_of_a_folder_can_be_read(folder: Folder) -> None:
    count = simulate_folder(folder, folder.root / "out.csv", Observer())
    table = read_fixations(folder.root / "out.csv", folder.ids)
    assert (table.used, sorted(table.images)) == (count, ["a", "b", "c"])


def test_an_image_gets_the_same_fixations_without_the_others(folder: Folder) -> None:
    simulate_folder(folder, folder.root / "all.csv", Observer(), seed=0)
    (folder.root / "images" / "a.png").unlink()
    simulate_folder(Folder(folder.root), folder.root / "some.csv", Observer(), seed=0)
    assert (folder.root / "all.csv").read_text().endswith((folder.root / "some.csv").read_text().split("\n", 1)[1])


def test_an_image_without_a_mask_is_left_out(folder: Folder) -> None:
    (folder.root / "masks" / "b.png").unlink()
    simulate_folder(Folder(folder.root), folder.root / "out.csv", Observer())
    assert "b.png" not in (folder.root / "out.csv").read_text()


def test_a_folder_without_masks_is_refused(folder: Folder) -> None:
    shutil.rmtree(folder.root / "masks")
    with pytest.raises(ValueError, match="no image has a mask"):
        simulate_folder(Folder(folder.root), folder.root / "out.csv", Observer())


PRESETS = Path(__file__).parents[2] / "configs" / "observer"


def preset(name: str) -> Observer:
    values = {}
    for file in ("eyelink", name):
        values |= {key: value for key, value in OmegaConf.load(PRESETS / f"{file}.yaml").items() if key != "defaults"}
    return Observer(**values)


def test_an_observer_is_an_eyelink_unless_told_otherwise() -> None:
    assert preset("eyelink") == Observer()


@pytest.fixture(scope="session")
def survey_of(real_data: Path) -> Callable[[Observer], Mapping[str, float]]:
    """Means over every other image of Kvasir-SEG, at a fourth of the resolution and without a CRF."""
    dataset = Kvasir(real_data / "Kvasir-SEG")
    square = {"dsize": (192, 192), "interpolation": cv2.INTER_NEAREST}
    masks = {image_id: cv2.resize(dataset.mask(image_id), **square) for image_id in dataset.ids[::2]}

    def measured(observer: Observer) -> Mapping[str, float]:
        found = {}
        for image_id, mask in masks.items():
            trial = simulate(mask, observer, np.random.default_rng([0, crc32(image_id.encode())]))
            on = (trial.x >= 0) & (trial.x <= 1) & (trial.y >= 0) & (trial.y <= 1)
            gaze = Fixations(trial.x[on], trial.y[on], trial.duration[on].astype(float))
            if len(gaze):
                heat = heatmap(gaze.x, gaze.y, gaze.duration, mask.shape, canvas=192, sigma=70 / 4)
                found[image_id] = measure(gaze, heat, heat, (0.5,), mask)
        return means(found) | {"median": float(np.median(column(found, "inside")))}

    return measured


def test_the_eyelink_meets_the_published_figures(survey_of: Callable[[Observer], Mapping[str, float]]) -> None:
    found = survey_of(preset("eyelink"))
    assert found["inside"] == pytest.approx(0.85, abs=0.03) and found["offset"] == pytest.approx(0.041, abs=0.006)
    assert found["heatmap@0.5"] == pytest.approx(0.745, abs=0.05)
    assert found["fixations"] * (250 + 45) == pytest.approx(8800, rel=0.05)  # with the saccades between them


def test_the_webcam_meets_the_published_figures(survey_of: Callable[[Observer], Mapping[str, float]]) -> None:
    found = survey_of(preset("webcam"))
    assert found["inside"] == pytest.approx(0.3, abs=0.05) and found["offset"] == pytest.approx(0.267, abs=0.02)
    assert found["median"] == pytest.approx(0.17, abs=0.06) and found["heatmap@0.5"] < 0.2


@pytest.mark.parametrize(("key", "doses"), [("fixations", (2.0, 8.0, 30.0)), ("precision", (0.3, 0.1, 0.02))])
def test_a_higher_dose_makes_better_maps(
    survey_of: Callable[[Observer], Mapping[str, float]], key: str, doses: Sequence[float]
) -> None:
    dice = [survey_of(replace(Observer(), **{key: dose}))["heatmap@0.5"] for dose in doses]
    assert dice == sorted(dice) and dice[-1] > dice[0] + 0.1
