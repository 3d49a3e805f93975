"""The contract that every supervision mode keeps, run for each of them, and for one of a very different shape."""

import copy
import io
import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from fovea.engine.schedules import constant
from fovea.engine.segmenter import Segmenter
from fovea.models.backbone import Backbone
from fovea.supervision.band import Band
from fovea.supervision.cross_modality import CrossModality
from fovea.supervision.cross_pseudo import CrossPseudo
from fovea.supervision.full import Full
from fovea.supervision.labeled_only import LabeledOnly
from fovea.supervision.mean_teacher import MeanTeacher
from fovea.supervision.multi_level import Gaze
from fovea.supervision.outputs import labels, probabilities

from . import streams


class TinyBackbone(nn.Module):
    """Two convolutions that answer as a 2-D backbone does; features at half the resolution."""

    def __init__(self, channels: int = 3, classes: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3, stride=2, padding=1), nn.Tanh())
        self.head = nn.Sequential(nn.Conv2d(8, classes, 1), nn.Upsample(scale_factor=2))

    def features(self, image):
        return self.body(image)

    def classify(self, features):
        return self.head(features)

    def forward(self, image):
        return self.classify(self.features(image))


class TinyDecoder(Backbone):
    """The same with a coarser scale."""

    classes = 1

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Tanh())
        self.fine = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 8, 3, padding=1), nn.Tanh())
        self.head = nn.Conv2d(8, 1, 1)

    def features(self, image):
        return self.fine(self.coarse(image))

    def classify(self, features):
        return self.head(features)

    def coarser(self):
        return [(self.coarse, 8)]


class TinyVolumes(nn.Module):
    """A volume of each of two modalities to logits of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({name: nn.Conv3d(1, 4, 3, padding=1) for name in ("ct", "mri")})
        self.head = nn.Conv3d(8, 3, 1)

    def forward(self, image):
        return self.head(torch.cat([self.body[name](image[name]).tanh() for name in ("ct", "mri")], dim=1))


class PlainTeacher(nn.Module):
    """Two streams, two modalities, three classes, and a teacher that follows: a mode that owes us nothing."""

    needs = frozenset({"mask"})

    def __init__(self, backbone, loss) -> None:
        super().__init__()
        self.student = backbone()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.loss = loss

    def losses(self, batch, progress):
        supervised = self.loss(self.student(batch["labeled"]["image"]), batch["labeled"]["mask"])
        image = batch["unlabeled"]["image"]
        distance = (self.student(image).softmax(1) - self.teacher(image).softmax(1)).square().mean()
        ramp = math.exp(-5 * (1 - progress) ** 2)
        return {"loss": supervised + ramp * distance, "supervised": supervised, "distance": distance}

    def forward(self, image, size):
        return {"prediction": probabilities(self.teacher(image), size)}

    def after_step(self, progress):
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.data.lerp_(fast.data, 0.1)


def flat_image():
    return torch.rand(2, 3, 16, 16)


def flat_batch():
    image = flat_image()
    return {"image": image, "mask": (image[:, :1] > 0.5).float(), "pseudo": image[:, :1], "index": torch.arange(2)}


def volumes():
    return {"ct": torch.rand(1, 1, 8, 8, 8), "mri": torch.rand(1, 1, 8, 8, 8)}


def two_streams():
    return {
        "labeled": {"image": volumes(), "mask": torch.randint(3, (1, 8, 8, 8))},
        "unlabeled": {"image": volumes()},
    }


def gaze(**options):
    return lambda: Gaze(TinyBackbone, nn.BCEWithLogitsLoss(), **options)


def by_modality(mode, backbone, **options):
    return lambda: mode(backbone, streams.loss(), **options), streams.two_streams, streams.volumes, (10, 8, 9), 3


MODES = {
    "full": (lambda: Full(TinyBackbone, nn.BCEWithLogitsLoss()), flat_batch, flat_image, (20, 24), 1),
    "full, deep": (lambda: Full(TinyDecoder, nn.BCEWithLogitsLoss(), deep=0.5), flat_batch, flat_image, (20, 24), 1),
    "band": (lambda: Band(TinyBackbone, nn.BCEWithLogitsLoss(), [0.5, 0.3]), flat_batch, flat_image, (20, 24), 1),
    "gaze, one level": (gaze(thresholds=[0.5]), flat_batch, flat_image, (20, 24), 1),
    "gaze, prop": (gaze(thresholds=[0.5, 0.3]), flat_batch, flat_image, (20, 24), 1),
    "gaze, pure": (gaze(thresholds=[0.5, 0.3, 0.4], consistency="pure"), flat_batch, flat_image, (20, 24), 1),
    "gaze, none": (gaze(thresholds=[0.5, 0.3], consistency="none"), flat_batch, flat_image, (20, 24), 1),
    "gaze, quality": (gaze(thresholds=[0.5, [0.2, 0.4]], ensemble="quality"), flat_batch, flat_image, (20, 24), 1),
    "plain teacher": (lambda: PlainTeacher(TinyVolumes, nn.CrossEntropyLoss()), two_streams, volumes, (10, 8, 9), 3),
    "cmc": by_modality(CrossModality, streams.cross, start=0.0),
    "cmc, overlap": by_modality(CrossModality, streams.own, start=0.0, anatomical="overlap"),
    "labeled only": by_modality(LabeledOnly, streams.cross),
    "each modality": by_modality(LabeledOnly, streams.each),
    "early fusion": by_modality(LabeledOnly, streams.early),
    "mean teacher": by_modality(MeanTeacher, streams.cross, weight=1.0, decay=0.9, noise=0.05),
    "cross pseudo": by_modality(CrossPseudo, streams.early, weight=0.5),
}


@pytest.fixture(params=MODES, autouse=True)
def mode(request):
    """One mode: a factory, a batch, an image, a size to predict at and the number of classes."""
    torch.manual_seed(0)
    return MODES[request.param]


def test_needs_are_known_without_building(mode) -> None:
    build = mode[0]
    assert type(build()).needs <= {"mask", "pseudo", "unlabeled", "box", "points", "scribble"}


def test_every_term_is_a_finite_scalar_and_loss_is_one(mode) -> None:
    build, batch, *_ = mode
    terms = build().losses(batch(), progress=0.5)
    assert "loss" in terms
    assert all(term.ndim == 0 and torch.isfinite(term) for term in terms.values())


def test_all_trained_parameters_get_a_gradient(mode) -> None:
    build, batch, *_ = mode
    module = build()
    module.losses(batch(), progress=0.5)["loss"].backward()
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    assert trained
    assert [name for name, value in trained.items() if value.grad is None or not value.grad.any()] == []


def test_training_on_one_batch_lowers_the_loss(mode) -> None:
    build, batch, *_ = mode
    module, data = build(), batch()
    optimizer = torch.optim.Adam([value for value in module.parameters() if value.requires_grad], 0.02)
    history = []
    for step in range(30):
        optimizer.zero_grad()
        loss = module.losses(data, progress=1.0)["loss"]
        loss.backward()
        optimizer.step()
        module.after_step(progress=step / 30)
        history.append(loss.item())
    assert history[-1] < 0.95 * history[0] if history[0] > 0 else history[-1] < history[0]


def test_outputs_are_probabilities_at_the_asked_size(mode) -> None:
    build, _, image, size, classes = mode
    outputs = build().eval()(image(), size)
    assert "prediction" in outputs
    for probability in outputs.values():
        assert tuple(probability.shape[1:]) == (classes, *size)
        assert probability.min() >= 0 and probability.max() <= 1
        if classes > 1:
            torch.testing.assert_close(probability.sum(dim=1), torch.ones_like(probability[:, 0]))


def test_prediction_is_read_as_labels(mode) -> None:
    build, _, image, size, classes = mode
    found = labels(build().eval()(image(), size)["prediction"])
    assert tuple(found.shape[1:]) == size
    assert found.dtype == torch.int64
    assert found.min() >= 0 and found.max() < max(classes, 2)


def test_the_state_is_all_there_is(mode) -> None:
    build, _, image, size, _ = mode
    module, other, seen = build().eval(), build().eval(), image()
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(other(seen, size), module(seen, size))


def test_the_segmenter_trains_and_validates_it(mode, tmp_path) -> None:
    build, batch, image, size, classes = mode
    module, followed = build(), []
    module.after_step = followed.append
    before = copy.deepcopy(module.state_dict())
    segmenter = Segmenter(module, partial(torch.optim.SGD, lr=0.1), constant, classes, config={"seed": 0})
    seen = image()
    images = len(module(seen, size)["prediction"])
    target = torch.randint(max(classes, 2), (images, *size))
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
    validation = [{"image": seen, "target": target, "index": torch.arange(images)}]
    loaders = (DataLoader(batches, batch_size=None) for batches in ([batch(), batch()], validation))
    trainer.fit(segmenter, *loaders)
    assert followed == [0.0, 0.5]  # the progress that the losses of that step were given
    assert any(not torch.equal(before[name], value) for name, value in module.state_dict().items())
    terms = {f"train/{name}" for name in module.losses(batch(), progress=1.0)}
    assert terms | {"val/dice", "val/iou", "val/precision", "val/recall"} <= set(trainer.callback_metrics)
