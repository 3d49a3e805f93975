"""Wrong values of a training are refused before torch is imported."""

from typing import Any

import pytest

from fovea.engine.preflight import check, check_mode
from fovea.supervision.band import Band
from fovea.supervision.mode import Mode

WINDOW = {"_target_": "monai.transforms.ScaleIntensityRange", "a_min": -175, "a_max": 250, "b_min": 0.0, "b_max": 1.0}


def config(**groups: dict[str, Any] | Any) -> dict[str, Any]:
    target = "fovea.engine.schedules.cosine_with_warmup"
    scheduler = {"_target_": target, "_partial_": True, "warmup_steps": 10, "warmup_epochs": 0}
    groups = {name: dict(value) if isinstance(value, dict) else value for name, value in groups.items()}
    return {
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1} | groups.pop("optimizer", {}),
        "scheduler": scheduler | groups.pop("scheduler", {}),
        "trainer": {"max_steps": 100, "precision": "32-true"} | groups.pop("trainer", {}),
        "evaluate": ["val"],
        "channels_last": False,
        "compile": False,
        "run_dir": "run",
    } | groups


@pytest.mark.parametrize(
    ("groups", "key"),
    [
        ({"scheduler": {"warmup_steps": 100}}, "scheduler.warmup_steps must be below trainer.max_steps=100"),
        ({"scheduler": {"minimum": 0.5}}, "scheduler.minimum must be at most optimizer.lr=0.1"),
        ({"trainer": {"max_steps": 1.5}}, r"trainer.max_steps must be a whole number.*, got 1.5"),
        ({"trainer": {"max_epochs": "ten"}}, r"trainer.max_epochs must be a whole number.*, got 'ten'"),
        ({"trainer": {"max_steps": None}}, "trainer.max_steps must be a whole number, got None"),
        (
            {"callbacks": {"last": {"_": 1}, "rate": {"_": 1}}, "logger": {"csv": None}},
            "callbacks.rate needs a logger, and there is none; set callbacks.rate=null",
        ),
        ({"trainer": {"max_steps": 0}}, "trainer.max_steps must be at least 1, got 0"),
        ({"trainer": {"accumulate_grad_batches": 1.5}}, "trainer.accumulate_grad_batches must be a whole number, got"),
        ({"trainer": {"gradient_clip_val": -1}}, "trainer.gradient_clip_val must be at least 0, got -1"),
        *(
            ({"trainer": {"val_check_interval": value, "check_val_every_n_epoch": None}}, f"trainer.val_check_i{rest}")
            for value, rest in {
                0: "nterval must be above 0, got 0",
                1.5: "nterval must be at most 1, got 1.5",
                "00:00:10:00": "nterval must be a number, got '00:00:10:00'",
                0.5: "nterval=0.5 is a part of an epoch: set trainer.check_val_every_n_epoch=1",
            }.items()
        ),
        (
            {"callbacks": {"best": {"filename": "best"}, "ema": {"update_starting_at_step": 100}}},
            r"callbacks.ema.update_starting_at_step must be below trainer.max_steps=100, got 100",
        ),
        ({"optimizer": {"lr": -1.0}}, "optimizer.lr must be above 0"),
        ({"optimizer": {"lr": 0.1, "weight_decay": -1}}, "optimizer.weight_decay must be at least 0, got -1"),
        ({"trainer": {"devices": 0}}, "trainer.devices must be at least 1, got 0"),
        ({"trainer": {"devices": "all"}}, "trainer.devices must be a whole number, got 'all'"),
        (
            {"trainer": {"precision": "bf16-true"}},
            "trainer.precision must be one of '32-true', 'bf16-mixed' or '16-mixed'",
        ),
        ({"compile": "no"}, "compile must be"),
        ({"optimizer": {"lr": "banana"}}, "optimizer.lr must be a number, got 'banana'"),
        ({"evaluate": "test"}, "evaluate must be a list in brackets, got 'test'"),
        ({"evaluate": ["tset"]}, r"evaluate\[0\] must be one of"),
        ({"channels_last": "yes"}, "channels_last must be"),
        (
            {"callbacks": {"best": {"save_top_k": 3}}},
            "callbacks.best.save_top_k must be 1, got 3: fovea reads best.ckpt",
        ),
        *(
            (
                {"callbacks": {name: {"dirpath": "there"}}},
                f"callbacks.{name}.dirpath must be run/checkpoints, got there",
            )
            for name in ("best", "last")
        ),
        (
            {"callbacks": {"mine": {}, "best": None}},
            "callbacks has neither best nor last: no checkpoint would be saved",
        ),
        (
            {
                "callbacks": {
                    "last": {"_": 1},
                    "swa": {"_target_": "pytorch_lightning.callbacks.StochasticWeightAveraging"},
                }
            },
            "callbacks.swa: StochasticWeightAveraging .* choose callbacks=ema",
        ),
        *(({part: {"_partial_": None}}, f"{part}._partial_ must be true") for part in ("optimizer", "scheduler")),
        *(({part: {"strength": 1}}, f"{part}._partial_ must be true") for part in ("backbone", "supervision")),
        ({"metrics": "auroc"}, "metrics must be keys with values in braces, got 'auroc'"),
        *(
            (
                {"callbacks": {"last": {"_target_": target}, "stop": {"_target_": target, "monitor": "val/dise"}}},
                r"callbacks\.stop\.monitor=val/dise is not logged; did you mean val/dice\? there are val/dice, val/iou",
            )
            for target in ("pytorch_lightning.callbacks.EarlyStopping", "pytorch_lightning.callbacks.ModelCheckpoint")
        ),
        *(
            (
                {"backbone": {"_target_": "fovea.models.basic_unet.BasicUNet2d", "_partial_": True, key: 2}}
                | {"data": {"channels": 3, "classes": 1}},
                f"backbone.{key} must be that of the data, {of_data}, got 2; leave it out, or set data.",
            )
            for key, of_data in {"in_channels": 3, "classes": 1}.items()
        ),
        (
            {"callbacks": {"best": {"_target_": "pytorch_lightning.X", "monitor": [1, 2]}}},
            r"callbacks\.best\.monitor=\[1, 2\] is not logged; there are val/dice",
        ),
        *(
            ({"data": {"normalize": {"_target_": "albumentations.Normalize"} | values}}, f"data.normalize.{rest}")
            for values, rest in (
                ({"mean": [0.5, 0.5]}, "mean must have 3 numbers, or 1 for all channels, got 2"),
                ({"mean": 0.5, "std": [0.2] * 4}, "std must have 3 numbers, or 1 for all channels, got 4"),
                ({"std": []}, "std must have 3 numbers, or 1 for all channels, got 0"),
                ({"std": [0.2, 0, 0.2]}, r"std\[1\] must be above 0, got 0"),
                ({"mean": [0.5, float("nan"), 0.5]}, r"mean\[1\] must be a finite number, got nan"),
                ({"max_pixel_value": 0}, "max_pixel_value must be above 0, got 0"),
            )
        ),
        *(
            ({"data": {"intensity": {"ct": WINDOW | values}}}, f"data.intensity.ct.{rest}")
            for values, rest in (
                ({"a_min": 250}, "a_min must be below data.intensity.ct.a_max=250, got 250"),
                ({"a_min": 300}, "a_min must be below data.intensity.ct.a_max=250, got 300"),
                ({"b_min": 1.0, "b_max": 0.0}, "b_min must be below data.intensity.ct.b_max=0.0, got 1.0"),
                ({"a_max": float("inf")}, "a_max must be a finite number, got inf"),
                ({"b_min": None}, "b_min must be a number, got None"),
            )
        ),
        ({"trainer": {"log_every_n_steps": "foo"}}, "trainer.log_every_n_steps must be a whole number, got 'foo'"),
        ({"sheet_rows": -1}, "sheet_rows must be at least 0"),
        ({"sheet_tile": 0}, "sheet_tile must be at least 1"),
        *(
            ({"supervision": {"_partial_": True, "across": True}} | data, "supervision.across=true is for data of sev")
            for data in ({}, {"data": {"modalities": ["ct"]}})
        ),
    ],
)
def test_wrong_value_is_refused(groups: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}"):
        check(config(**groups))


def test_valid_configuration_passes() -> None:
    check(config())
    check(config(trainer={"max_steps": -1, "precision": None, "val_check_interval": 0.5}))
    check(config(callbacks={"last": {"dirpath": "run/checkpoints"}}, trainer={"val_check_interval": 1}))
    check(
        config() | {"scheduler": {"_partial_": True, "warmup_steps": 100}}
    )  # an argument that scheduler=constant does not have
    scores = {
        "one": {"monitor": "val/auroc"},
        "two": {"monitor": "train/loss"},
        "four": {"monitor": "loss"},
        "three": None,
        "last": {"_": 1},
    }
    named = {name: each and {"_target_": "pytorch_lightning.X"} | each for name, each in scores.items()}
    check(config(callbacks=named, metrics={"auroc": {"_target_": "torchmetrics.X"}}))
    check(config(callbacks={"last": {"monitor": "val/mine"}, "mine": {"_target_": "my_lab.Logs"}}))  # it may log that
    check(config(supervision={"_partial_": True, "across": True}, data={"modalities": ["ct", "mri"]}))
    for mean in ([0.5, 0.5, 0.5], [0.5], 0.5, None):
        check(config(data={"normalize": {"_target_": "albumentations.Normalize", "mean": mean}}))
    check(config(data={"normalize": {"_target_": "my_lab.Normalize", "mean": [0.5, 0.5]}}))
    check(config(data={"intensity": {"ct": WINDOW, "mri": {"_target_": "monai.transforms.NormalizeIntensity"}}}))


def test_a_mode_that_lacks_a_part_of_the_contract_is_refused() -> None:
    class Text(Mode):
        needs = "mask"  # type: ignore[assignment]
        serves = frozenset({"images"})

    class Plain:
        needs = serves = frozenset({"images"})

    for mode, message in {
        Mode: "Mode has no needs; see docs",
        Plain: "Plain has no losses; see docs",
        Text: "Text.needs must be a frozenset of names, not text",
    }.items():
        with pytest.raises(ValueError, match=f"^supervision: {message}"):
            check_mode(mode, {})


@pytest.mark.parametrize("data", [{"classes": 3}, {"classes": 2}, {"classes": 3, "modalities": ["ct"]}])
def test_maps_have_one_class(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Band trains on maps of one class, but data.classes={data['classes']};"):
        check_mode(Band, data)
    for accepted in ({"classes": 1}, {"classes": 2, "modalities": ["ct"]}, {"modalities": []}, {}):
        check_mode(Band, accepted)
