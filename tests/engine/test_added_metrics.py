"""Metrics of torchmetrics that a configuration adds."""

from typing import Any

import numpy as np
import pytest
import torch

from fovea.engine.added_metrics import AddedMetrics

AUROC = {"_target_": "torchmetrics.classification.BinaryAUROC", "thresholds": None}


def test_auroc_is_that_of_all_labeled_pixels() -> None:
    rng = np.random.default_rng(0)
    added, scores, truths = AddedMetrics({"auroc": AUROC}, classes=1), [], []
    for size in ((5, 7), (4, 3)):
        score, truth = rng.random(size).astype(np.float32), rng.integers(-1, 2, size)
        added.add(torch.from_numpy(score)[None, None], torch.from_numpy(truth)[None])
        scores.append(score[truth >= 0])
        truths.append(truth[truth >= 0])
    score, truth = np.concatenate(scores), np.concatenate(truths)
    pairs = score[truth == 1][:, None] - score[truth == 0][None]
    naive = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert added.compute() == {"auroc": pytest.approx(naive, abs=1e-6)}
    assert AddedMetrics({}, 1).compute() == {}


def test_several_classes_are_rows_of_probabilities() -> None:
    config = {"accuracy": {"_target_": "torchmetrics.classification.MulticlassAccuracy", "num_classes": 3}}
    added = AddedMetrics(config, classes=3)
    target = torch.tensor([[[0, 1], [2, -1]]])
    added.add(torch.eye(3)[torch.tensor([[0, 1], [1, 1]])].movedim(-1, 0)[None], target)
    assert added.compute()["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"a": 1}, "metrics.a has no _target_"),
        ({"a": {"_target_": "torch.nn.ReLU"}}, "metrics.a: torch.nn.ReLU is not a torchmetrics.metric.Metric"),
        ({"a": {"_target_": "torchmetrics.classification.MulticlassAUROC", "num_classes": 4}}, "metrics.a: "),
        (
            {"a": {"_target_": "torchmetrics.classification.BinaryROC", "thresholds": 5}},
            "metrics.a: does not return one number",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_at_the_start(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AddedMetrics(config, classes=1)
