"""Old names on command lines, in configurations and in checkpoints."""

import pytest

from fovea.runtime.config import locate
from fovea.runtime.moved import CLASSES, REFINERS, refuse_old_keys, refuse_old_overrides, upgrade

CRF = {"backend": "guided", "compat": 1.0, "radius": 20, "epsilon": 0.01, "iterations": 10}
GAZE = {"fixations": "f.csv", "store": "maps", "sigma": 50.0, "canvas": 768, "min_duration": 50.0, "dose": 1.0}
GAZE |= {"thresholds": [0.5], "crf": CRF, "workers": 1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gaze.fixations=my file.csv", "'labels.path=my file.csv'"),
        ("gaze.crf.backend=guided", "refine=guided"),
        ("gaze.crf.backend=guided,none", "refine=guided,none"),
        ("gaze.crf.compat=2", "refine.compat=2"),
        ("+gaze.crf.tolerance=0", "+refine.tolerance=0"),
        ("gaze.dose=0.25,0.5", "labels.dose=0.25,0.5"),
        ("gaze.quality=gaze", "quality=labels"),
        ("gaze.quality=masks", "quality=masks"),
        ("gaze.shard=0", "shard=0"),
        ("backbone=smp_unet", "backbone=smp"),
        ("backbone=smp_unet,basic_unet", "backbone=smp,basic_unet"),
        ("backbone=smp_segformer", "backbone=smp backbone.network._target_=segmentation_models_pytorch.Segformer"),
        ("sweep=gaze_dose", "sweep=dose"),
    ],
)
def test_old_override_is_answered(old: str, new: str) -> None:
    with pytest.raises(ValueError) as caught:
        refuse_old_overrides(["seed=0", old, "--multirun"])
    assert str(caught.value).endswith(f"old name; write {new} instead")


def test_old_keys_are_answered_together() -> None:
    with pytest.raises(ValueError, match=r"write labels\.path=a store=b instead"):
        refuse_old_overrides(["gaze.fixations=a", "data=kvasir", "gaze.store=b"])
    for old in ("gaze=kvasir", "supervision.deep=0.4", "supervision.regularizer=null"):
        with pytest.raises(ValueError, match=f"^{old}: old name; leave it out$"):
            refuse_old_overrides([old])
    refuse_old_overrides(["supervision=gaze", "labels.dose=0.5", "data.gaze.path=x", "experiment=gaze_kvasir"])
    refuse_old_keys(["data.gaze.path", "labels.dose"])
    with pytest.raises(ValueError, match=r"^gaze\.dose: old key in the configuration; write labels\.dose$"):
        refuse_old_keys(["seed", "gaze.dose"])
    with pytest.raises(ValueError, match=r"is now fovea\.data\.images\.source\.Images"):
        locate("fovea.kinds.images.Images", "data._target_")


def test_checkpoint_of_images_is_upgraded() -> None:
    data = {"_target_": "fovea.kinds.images.Images", "dataset": {"_target_": "fovea.data.folder.Folder"}}
    supervision = {"_target_": "fovea.supervision.gaze.Gaze", "thresholds": [0.5]}
    config = upgrade({"data": data, "supervision": supervision, "gaze": GAZE, "augment": [{"_target_": "x"}]})
    assert config["data"]["_target_"] == "fovea.data.images.source.Images"
    assert config["data"]["dataset"]["_target_"] == "fovea.data.images.folder.Folder"
    assert config["supervision"]["_target_"] == "fovea.supervision.multi_level.MultiLevel"
    assert config["data"]["maps"] == {key: config[key] for key in ("store", "labels", "refine")}
    assert (config["store"], config["labels"]["path"], config["labels"]["sigma"]) == ("maps", "f.csv", 50.0)
    target = "fovea.prepare.refiners.guided.Guided"
    assert config["refine"] == {"_target_": target, "name": "guided", "radius": 20, "epsilon": 0.01}
    assert "gaze" not in config
    assert upgrade(config) == config


def test_losses_volumes_and_deep_supervision_of_old_checkpoints() -> None:
    old = {"_target_": "fovea.losses.dice_cross_entropy.DiceCrossEntropy", "softmax": True, "to_onehot_y": True}
    new = {"_target_": "fovea.losses.segmentation.DiceCrossEntropy", "batch": True}
    assert upgrade({"loss": old | {"include_background": False, "batch": True}}) == {"loss": new}
    volumes = upgrade({"data": {"_target_": "fovea.kinds.volumes.Volumes"}, "gaze": {"thresholds": []}})
    assert volumes == {"data": {"_target_": "fovea.data.volumes.source.Volumes"}}
    old = {"deep": 0.0, "regularizer": None}
    assert upgrade({"supervision": old, "loss": None}) == {"supervision": {}, "loss": None}
    for key, value in {"deep": 0.4, "regularizer": {"weight": 0.1}}.items():
        with pytest.raises(ValueError, match=rf"supervision\.{key} was removed"):
            upgrade({"supervision": {key: value}})


REFINER_PATHS = {f"fovea.prepare.refiners.{target}" for target, _ in REFINERS.values()}


@pytest.mark.parametrize("path", sorted({*CLASSES.values(), *REFINER_PATHS}))
def test_new_class_exists(path: str) -> None:
    locate(path)
