"""The contract of all supervision modes, for each kind of data that they serve. A new mode is one row of `MODES`."""

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import nn
from torch.utils.data import DataLoader

from fovea.engine.segmenter import Segmenter
from fovea.models.by_modality import EachModality
from fovea.supervision.band import Band
from fovea.supervision.copy_paste import CopyPaste
from fovea.supervision.cross_pseudo import CrossPseudo
from fovea.supervision.full import Full
from fovea.supervision.mean_teacher import MeanTeacher
from fovea.supervision.neighbor import Neighbor
from fovea.supervision.outputs import labels, probabilities
from fovea.supervision.teacher import Teacher
from fovea.supervision.unimatch import UniMatch
from fovea.supervision.views import View

from . import tiny


class PlainTeacher(nn.Module):
    """A mode that uses nothing of ours: two streams, and a teacher that follows."""

    needs = frozenset({"mask", "unlabeled"})
    serves = frozenset({"images"})

    def __init__(self, backbone, loss) -> None:
        super().__init__()
        self.student = backbone()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.loss = loss

    def losses(self, batch, progress):
        supervised = self.loss(self.student(batch["labeled"]["image"]), batch["labeled"]["mask"])
        image = batch["unlabeled"]["image"]
        distance = (self.student(image) - self.teacher(image)).square().mean()
        return {"loss": supervised + progress * distance, "supervised": supervised, "distance": distance}

    def forward(self, image, size):
        return {"prediction": probabilities(self.teacher(image), size)}

    def after_step(self, progress):
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.data.lerp_(fast.data, 0.1)


VIEW = View(jitter=0.2, blur=1.0, noise=0.05)
UNIMATCH = partial(UniMatch, view=VIEW, cutmix=0.3, confidence=0.0, dropped=0.2, weight=0.1, start=0.0)
MODES: dict[str, Callable[..., Any]] = {
    "full": Full,
    "band": partial(Band, thresholds=[0.5, 0.3]),
    "teacher": partial(Teacher, thresholds=[0.5, 0.3], view=VIEW, cutmix=0.3, confidence=0.5, weight=1.0, decay=0.9),
    "neighbor": partial(
        Neighbor,
        thresholds=[0.5, 0.3],
        view=VIEW,
        neighbors=5,
        samples=64,
        agreement=0.9,
        temperature=0.1,
        vote_weight=1.0,
        view_weight=1.0,
        contrast_weight=0.1,
    ),
    "multi_level": partial(tiny.multi_level, thresholds=[0.5, [0.2, 0.4]], ensemble="quality"),
    "pseudo": partial(tiny.multi_level, thresholds=[0.5], consistency="none"),
    "mean_teacher": partial(MeanTeacher, weight=1.0, decay=0.9, noise=0.05),
    "unimatch": partial(UNIMATCH, across=False, decay=0.0),
    "unimatch of an average": partial(UNIMATCH, across=True, decay=0.9),
    "copy_paste": partial(CopyPaste, side=0.67, start=0.0, weight=0.5, across=False, decay=0.9),
    "cross_pseudo": partial(CrossPseudo, weight=0.5),
    "cmc": partial(tiny.cross_modality, start=0.0),
    "plain teacher": PlainTeacher,
}


class Data(NamedTuple):
    """A kind of data, a backbone that reads it, and a size to predict at."""

    kind: str
    classes: int
    backbone: Callable[[], nn.Module]
    image: Callable[[], Any]
    size: tuple[int, ...]


IMAGES = partial(Data, "images", image=lambda: torch.rand(2, 3, 16, 16), size=(20, 24))
VOLUMES = partial(Data, "volumes")
THREE = (10, 8, 9)
CT = partial(tiny.volumes, names=["ct"])
DATA = {
    "images": IMAGES(1, tiny.TinyBackbone),
    "images of 3 classes": IMAGES(3, partial(tiny.TinyBackbone, 3)),
    "volumes": VOLUMES(3, partial(EachModality, ["ct"], 1, 3, tiny.UNET), CT, THREE),
    "volumes of 1 class": VOLUMES(1, partial(EachModality, ["ct"], 1, 1, tiny.UNET), CT, THREE),
    "volumes of 2 modalities": VOLUMES(3, tiny.cross, tiny.volumes, THREE),
    "slices of 2 modalities": VOLUMES(3, partial(tiny.cross, slices=True), tiny.slices, (10, 8)),
}


def claimed(mode: Any, data: Data) -> bool:
    """Whether a mode serves this kind of data; a map is of one class, or of background and foreground."""
    cls = getattr(mode, "func", mode)
    several = data.kind == "images" and data.classes > 1
    return data.kind in cls.serves and not (several and "pseudo" in cls.needs)


PAIRS = [(mode, data) for mode in MODES for data in DATA if claimed(MODES[mode], DATA[data])]
PAIRS = [pair for pair in PAIRS if pair not in (("cmc", "volumes"), ("cmc", "volumes of 1 class"))]  # 2 modalities


class Case(NamedTuple):
    build: Callable[[], Any]
    batch: Callable[[], Any]
    data: Data


@pytest.fixture(params=PAIRS, ids=" on ".join)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    mode, data = MODES[request.param[0]], DATA[request.param[1]]
    build = partial(mode, data.backbone, tiny.loss(data.classes))

    def batch() -> dict[str, Any]:
        first = tiny.labeled(data.image(), data.classes)
        two = "unlabeled" in getattr(mode, "func", mode).needs
        return {"labeled": first, "unlabeled": {"image": data.image()}} if two else first

    return Case(build, batch, data)


def test_losses_are_finite_scalars(case: Case) -> None:
    terms = case.build().losses(case.batch(), progress=0.5)
    assert "loss" in terms
    assert all(term.ndim == 0 and torch.isfinite(term) for term in terms.values())


def test_all_trained_parameters_get_a_gradient(case: Case) -> None:
    module = case.build()
    module.losses(case.batch(), progress=0.5)["loss"].backward()
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    assert trained
    assert [name for name, value in trained.items() if value.grad is None or not value.grad.any()] == []


@pytest.mark.slow
def test_training_on_one_batch_lowers_the_loss(case: Case) -> None:
    module, batch = case.build(), case.batch()
    optimizer = torch.optim.Adam([value for value in module.parameters() if value.requires_grad], 0.02)
    history = []
    for step in range(30):
        optimizer.zero_grad()
        loss = module.losses(batch, progress=1.0)["loss"]
        loss.backward()
        optimizer.step()
        module.after_step(progress=step / 30)
        history.append(loss.item())
    assert history[-1] < 0.95 * history[0] if history[0] > 0 else history[-1] < history[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("half", [False, True])
def test_step_on_a_gpu(case: Case, half: bool) -> None:
    module = case.build().cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=half):
        terms = module.losses(move_data_to_device(case.batch(), torch.device("cuda")), progress=0.5)
    terms["loss"].backward()
    module.after_step(progress=0.5)
    assert all(term.is_cuda and torch.isfinite(term) for term in terms.values())
    image = move_data_to_device(case.data.image(), torch.device("cuda"))
    assert module.eval()(image, case.data.size)["prediction"].is_cuda


@pytest.mark.parametrize("half", [False, True])
def test_outputs_are_probabilities(case: Case, half: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        outputs = case.build().eval()(case.data.image(), case.data.size)
    for probability in outputs.values():
        assert probability.dtype == torch.float32
        assert tuple(probability.shape[1:]) == (case.data.classes, *case.data.size)
        assert probability.min() >= 0 and probability.max() <= 1
        if case.data.classes > 1:
            torch.testing.assert_close(probability.sum(dim=1), torch.ones_like(probability[:, 0]))
    predicted = labels(outputs["prediction"])
    assert tuple(predicted.shape[1:]) == case.data.size
    assert predicted.min() >= 0 and predicted.max() < max(case.data.classes, 2)


def test_state_dict_is_complete(case: Case) -> None:
    module, other, image = case.build().eval(), case.build().eval(), case.data.image()
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(other(image, case.data.size), module(image, case.data.size))


def test_segmenter_trains_and_validates(case: Case, tmp_path) -> None:
    module, followed, data = case.build(), [], case.data
    module.after_step = followed.append
    before = copy.deepcopy(module.state_dict())
    config: dict[str, Any] = {"data": {"classes": data.classes}, "channels_last": False, "compile": False}
    config["optimizer"] = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}
    config["scheduler"] = {"_target_": "fovea.engine.schedules.constant", "_partial_": True}
    segmenter = Segmenter(module, config, lambda mode: mode)
    image = data.image()
    count = len(module(image, data.size)["prediction"])
    target = torch.randint(-1, max(data.classes, 2), (count, *data.size))
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
    )
    validation = [{"image": image, "target": target, "index": torch.arange(count)}]
    trainer.fit(segmenter, *(DataLoader(b, batch_size=None) for b in ([case.batch(), case.batch()], validation)))
    assert followed == [0.0, 0.5]  # the progress that the losses of that step got
    assert any(not torch.equal(before[name], value) for name, value in module.state_dict().items())
    terms = {f"train/{name}" for name in module.losses(case.batch(), progress=1.0)}
    assert terms | {"val/dice", "val/iou", "val/precision", "val/recall"} <= set(trainer.callback_metrics)
