"""The simulated observer: what it looks at, how well, and that it meets published figures."""

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
from fovea.runtime.config import instantiate
from fovea.simulate.folder import simulate_folder
from fovea.simulate.gaze import Observer, Trial, simulate


def preset(name: str) -> Observer:
    folder = Path(__file__).parents[2] / "configs" / "observer"
    values = OmegaConf.merge(*(OmegaConf.load(folder / f"{file}.yaml") for file in ("eyelink", name)))
    return instantiate({key: value for key, value in values.items() if key != "defaults"}, "observer")


EYELINK = preset("eyelink")
EXACT = replace(EYELINK, accuracy=0.0, precision=0.0)


def ellipse(center: tuple[int, int] = (70, 40), axes: tuple[int, int] = (30, 18)) -> np.ndarray:
    return cv2.ellipse(np.zeros((100, 140), np.uint8), center, axes, 20, 0, 360, 1, -1)


def look(mask: np.ndarray, observer: Observer, seed: int = 0) -> Trial:
    return simulate(mask, observer, np.random.default_rng(seed))


def inside(mask: np.ndarray, observer: Observer) -> float:
    trials = (look(mask, observer, seed) for seed in range(40))
    return float(np.mean([fixations_inside(trial.x.clip(0, 1), trial.y.clip(0, 1), mask) for trial in trials]))


class TestObserver:
    def test_most_fixations_are_inside(self) -> None:
        assert 0.8 < inside(ellipse(), EYELINK) < 0.97

    @pytest.mark.parametrize("noise", ["precision", "accuracy"])
    def test_noise_moves_fixations_outside(self, noise: str) -> None:
        calm, shaky = replace(EXACT, **{noise: 0.02}), replace(EXACT, **{noise: 0.15})
        assert inside(ellipse(), shaky) < inside(ellipse(), calm) - 0.1
        if noise == "accuracy":  # shifts the whole trial
            offset = look(ellipse(), calm).x - look(ellipse(), EXACT).x
            np.testing.assert_allclose(offset, offset[0], atol=1e-12)

    def test_explores_from_center_outwards(self) -> None:
        trial = look(ellipse(), replace(EXACT, scan=0.0))
        distance = np.hypot(trial.x * 140 - 70.5, trial.y * 100 - 40.5)[1:]  # the first fixation searches
        assert distance[:4].mean() < 0.6 * distance[-4:].mean()

    def test_visits_both_targets_and_more_specks_than_fixations(self) -> None:
        left, right = ellipse((30, 50), (16, 12)), ellipse((110, 50), (12, 16))
        trial = look(left | right, EXACT)
        assert min(fixations_inside(trial.x, trial.y, side) for side in (left, right)) > 0.2
        specks = np.zeros((60, 60), np.uint8)
        specks[5::10, 5::10] = 1
        trial = look(specks, replace(EXACT, fixations=10.0))
        visited = {(int(y * 60), int(x * 60)) for x, y in zip(trial.x, trial.y, strict=True)}
        assert set(zip(*np.nonzero(specks), strict=True)) <= visited

    def test_scans_empty_mask_inside_the_image(self) -> None:
        trial = look(np.zeros((40, 60), np.uint8), replace(EXACT, fixations=400.0))
        assert len(trial.x) > 100 and np.std(trial.x) > 0.05
        assert min(trial.x.min(), trial.y.min()) >= 0 and max(trial.x.max(), trial.y.max()) <= 1

    def test_durations_and_starts(self) -> None:
        trials = [look(ellipse(), EYELINK, seed) for seed in range(60)]
        duration = np.concatenate([trial.duration for trial in trials])
        assert (duration.mean(), duration.std()) == pytest.approx((250, 77), rel=0.06) and duration.min() >= 60
        assert (trials[0].start[1:] >= trials[0].start[:-1] + trials[0].duration[:-1]).all()


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Folder:
        for name in ("images", "masks"):
            (tmp_path / name).mkdir()
            for image_id in "abc":
                cv2.imwrite(str(tmp_path / name / f"{image_id}.png"), ellipse() * 255)
        return Folder(tmp_path)

    def test_table_can_be_read_and_images_do_not_depend_on_others(self, folder: Folder) -> None:
        out = folder.root / "out.csv"
        count, images = simulate_folder(folder, out, EYELINK, seed=0)
        table = read_fixations(out, folder.ids)
        assert (table.used, sorted(table.images), images) == (count, ["a", "b", "c"], 3)
        (folder.root / "images" / "a.png").unlink()
        simulate_folder(Folder(folder.root), folder.root / "some.csv", EYELINK, seed=0)
        assert out.read_text().endswith((folder.root / "some.csv").read_text().split("\n", 1)[1])
        poor = replace(EYELINK, accuracy=0.5, precision=0.5)
        count, _ = simulate_folder(Folder(folder.root), folder.root / "poor.csv", poor)
        table = read_fixations(folder.root / "poor.csv", folder.ids)
        outside = table.dropped["outside_image"]
        assert outside > 0 and table.used + outside == count
        assert sum(fixations.outside for fixations in table.images.values()) == outside

    def test_images_without_mask(self, folder: Folder) -> None:
        (folder.root / "masks" / "b.png").unlink()
        assert simulate_folder(Folder(folder.root), folder.root / "out.csv", EYELINK)[1] == 2
        shutil.rmtree(folder.root / "masks")
        with pytest.raises(ValueError, match="no image has a mask"):
            simulate_folder(Folder(folder.root), folder.root / "out.csv", EYELINK)


Survey = Callable[[Observer], Mapping[str, float]]


@pytest.mark.slow
class TestPublishedFigures:
    @pytest.fixture(scope="class")
    def survey_of(self, real_data: Path) -> Survey:
        """Means over every fourth image of Kvasir-SEG, at a quarter of the resolution and without a CRF."""
        dataset = Kvasir(real_data / "Kvasir-SEG")
        square = {"dsize": (192, 192), "interpolation": cv2.INTER_NEAREST}
        masks = {image_id: cv2.resize(dataset.mask(image_id), **square) for image_id in dataset.ids[::4]}

        def measured(observer: Observer) -> Mapping[str, float]:
            figures = {}
            for image_id, mask in masks.items():
                trial = simulate(mask, observer, np.random.default_rng([0, crc32(image_id.encode())]))
                on = (trial.x >= 0) & (trial.x <= 1) & (trial.y >= 0) & (trial.y <= 1)
                gaze = Fixations(trial.x[on], trial.y[on], trial.duration[on].astype(float))
                if len(gaze):
                    heat = heatmap(gaze.x, gaze.y, gaze.duration, mask.shape, canvas=192, sigma=70 / 4)
                    figures[image_id] = measure(gaze, heat, heat, (0.5,), mask)
            return means(figures) | {"median": float(np.median(column(figures, "inside")))}

        return measured

    def test_eyelink(self, survey_of: Survey) -> None:
        mean = survey_of(EYELINK)
        assert mean["inside"] == pytest.approx(0.85, abs=0.03) and mean["offset"] == pytest.approx(0.041, abs=0.006)
        assert mean["heatmap@0.5"] == pytest.approx(0.745, abs=0.05)
        assert mean["fixations"] * (250 + 45) == pytest.approx(8800, rel=0.05)  # with the saccades between them

    def test_webcam(self, survey_of: Survey) -> None:
        mean = survey_of(preset("webcam"))
        assert mean["inside"] == pytest.approx(0.3, abs=0.05) and mean["offset"] == pytest.approx(0.267, abs=0.02)
        assert mean["median"] == pytest.approx(0.17, abs=0.06) and mean["heatmap@0.5"] < 0.2

    @pytest.mark.parametrize(("key", "doses"), [("fixations", (2.0, 8.0, 30.0)), ("precision", (0.3, 0.1, 0.02))])
    def test_more_dose_makes_better_maps(self, survey_of: Survey, key: str, doses: Sequence[float]) -> None:
        dice = [survey_of(replace(EYELINK, **{key: dose}))["heatmap@0.5"] for dose in doses]
        assert dice == sorted(dice) and dice[-1] > dice[0] + 0.1
