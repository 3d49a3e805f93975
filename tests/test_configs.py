"""Every shipped YAML file is composed, and the objects that it describes are built."""

import inspect
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate as build_plugin
from omegaconf import DictConfig, OmegaConf

import fovea.cli
from fovea.data.maps import NOT_BUILT
from fovea.engine.build import build
from fovea.engine.schedules import schedule_of
from fovea.runtime.config import config_folder, flat, instantiate, locate, resolve
from fovea.sweeps.study import Search

CONFIGS = config_folder()
COMMANDS = sorted(path.stem.rstrip("_") for path in Path(fovea.cli.__file__).parent.glob("[!_]*.py"))
CHOICES = sorted(  # each group with each choice; `base` is what the choices of a group share
    (str(path.parent.relative_to(CONFIGS)), path.stem) for path in CONFIGS.rglob("*/*.yaml") if path.stem != "base"
)
MANDATORY: dict[str, Any] = {  # values of keys without a default
    **{"data.classes": 3, "data.modalities": ["ct", "mri"], "data.root": "DIR", "checkpoint": "F"},
    **dict.fromkeys(("input", "out", "runs", "source"), "D"),
}
# Choices of these groups are built below.
BUILT = {"backbone", "cache", "callbacks", "format", "logger", "loss", "optimizer", "scheduler", "scoring"}
BUILT |= {"supervision", "sweep", "trainer", "tta"}
CHOOSES_DATA = re.compile("data=|experiment=(?!gazemedseg$)")
IMAGES = ["data=synthetic", "backbone=basic_unet"]
BCE = ["supervision=full", "loss._target_=torch.nn.BCEWithLogitsLoss"]
NESTED = {"backbone/unet": ["data=paired_synthetic", "backbone=each_modality"]}  # groups of one choice, with that
VOLUMES = ["data=paired_synthetic", "backbone=cross_modality", "loss=dice_ce", "augmentation=volumes"]


def choices(group: str) -> list[str]:
    """Return the names in a group that a user may choose."""
    return [choice for name, choice in CHOICES if name == group]


def composed(command: str, *overrides: str) -> DictConfig:
    """Compose a command with Hydra's own part, and give mandatory keys a value."""
    if command == "import":
        overrides = ("format=maps", *overrides)
    if command in ("collect", "prepare", "simulate", "train") and not any(map(CHOOSES_DATA.match, overrides)):
        overrides = ("data=kvasir", *overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(command, overrides=["hydra.run.dir=RUN", *overrides], return_hydra_config=True)
    config.hydra.runtime.output_dir = "RUN"
    HydraConfig.instance().set_config(config)
    for key, value in MANDATORY.items():
        above, _, name = key.rpartition(".")
        parent = OmegaConf.select(config, above) if above else config
        if parent is not None and name in list(parent) and OmegaConf.select(config, key) is None:
            OmegaConf.update(config, key, value)
    return config


def resolved(command: str, *overrides: str) -> dict[str, Any]:
    """Resolve the configuration of a command as the command itself does."""
    return deepcopy(_resolved(command, *overrides))


@cache
def _resolved(command: str, *overrides: str) -> dict[str, Any]:
    config = composed(command, *overrides)
    del config.hydra
    return resolve(config)


def training(*overrides: str) -> dict[str, Any]:
    """Resolve a training, with no weights to download and few features."""
    config = resolved("train", *overrides)
    backbone = config["backbone"]
    if "encoder_weights" in backbone:
        segformer = "Segformer" in str(backbone.get("network"))
        backbone |= {"encoder_weights": None, "encoder_name": "mit_b0" if segformer else "tu-mobilenetv3_small_100"}
    elif "encoder_weights" in backbone.get("unet", ()):
        backbone["unet"] |= {"encoder_weights": None, "encoder_name": "tu-mobilenetv3_small_100"}
    elif "unet" in backbone:
        backbone["unet"]["features"] = [4, 8]
    else:
        backbone["features"] = [4, 4, 8, 8, 8, 4]
    return config


@cache
def groups_of(command: str) -> frozenset[str]:
    """Return the groups that a command chooses from."""
    return frozenset(composed(command).hydra.runtime.choices)


def nodes(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping with a `_target_`."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield config
        for value in config.values():
            yield from nodes(value)
    elif isinstance(config, list):
        for value in config:
            yield from nodes(value)


@pytest.mark.parametrize(("group", "choice"), [pair for pair in CHOICES if pair[0] not in BUILT])
def test_every_choice_composes_and_its_targets_fit(group: str, choice: str) -> None:
    commands = ["train"] if group in NESTED else [command for command in COMMANDS if group in groups_of(command)]
    assert commands, f"no command chooses {group}"
    for command in commands if group == "data" else commands[:1]:
        needed = ["refine.checkpoint=RUN"] if (group, choice) == ("refine", "model") else NESTED.get(group, [])
        for node in nodes(resolved(command, f"{group}={choice}", *needed)):
            arguments = {name: value for name, value in node.items() if name not in ("_target_", "_partial_")}
            arguments.pop("_recursive_", None)
            if node["_target_"].startswith("fovea.prepare."):  # these keys are for the store, not for the constructor
                arguments = {name: value for name, value in arguments.items() if name not in NOT_BUILT}
            inspect.signature(locate(node["_target_"], "_target_")).bind_partial(**arguments)


@pytest.mark.parametrize("group", ["loss", "trainer", "callbacks", "logger", "scoring", "format", "tta"])
def test_choices_are_built(group: str) -> None:
    for choice in choices(group):
        command = next(command for command in COMMANDS if group in groups_of(command))
        config = resolved(command, f"{group}={choice}")[group]
        built = [instantiate(part) for part in ([config] if "_target_" in config else filter(None, config.values()))]
        assert built or choice == "none", choice


def test_commands_agree_on_run_folders_scores_and_stores() -> None:
    assert {command: resolved(command)["run_dir"] for command in COMMANDS} == dict.fromkeys(COMMANDS, "RUN")
    assert resolved("train")["scoring"] == resolved("evaluate")["scoring"]
    assert resolved("prepare")["store"] == resolved("train")["store"]
    # A store is named after all that its maps depend on.
    changes = [[], ["labels.sigma=50"], ["labels.dose=0.5"], ["refine.compat=3"], ["refine=none"], ["data=synthetic"]]
    assert len({resolved("prepare", *overrides)["store"] for overrides in changes}) == len(changes)


class TestNetworks:
    """Every backbone, mode and loss trains on images, on volumes, or on both."""

    def losses(self, overrides: list[str]) -> bool:
        """Compute the loss and the gradients of one batch; return False where the combination is refused."""
        config = training(*overrides)
        classes = config["data"]["classes"]
        try:
            module = build(config)
            if names := config["data"].get("modalities"):
                image = {name: torch.randn(1, 1, 8, 8, 8) for name in names}
                size = (9, 8, 7)
                batch = {"image": image, "mask": {name: torch.randint(classes, (1, 8, 8, 8)) for name in names}}
            else:
                image, size = torch.randn(2, 3, 64, 64), (70, 50)
                pseudo = torch.rand(2, 1, 64, 64)
                mask = pseudo.round() if classes == 1 else torch.randint(classes, (2, 64, 64))
                batch = {"image": image, "mask": mask, "pseudo": pseudo, "index": torch.arange(2)}
            streams = names or "unlabeled" in module.needs
            batch = {"labeled": batch, "unlabeled": {"image": image}} if streams else batch
            loss = module.losses(batch, progress=0.8)["loss"]
        except ValueError:
            return False
        loss.backward()
        assert torch.isfinite(loss)
        # Processes that train as one job wait for the gradients of all parameters.
        trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        assert [name for name, value in trained.items() if value.grad is None] == []
        with torch.inference_mode():
            assert module.eval()(image, size)["prediction"].shape == (1 if names else 2, classes, *size)
        return True

    @pytest.mark.parametrize("backbone", choices("backbone"))
    def test_every_backbone(self, backbone: str) -> None:
        images = [*IMAGES, f"backbone={backbone}", "supervision=full"]
        volumes = [*VOLUMES, f"backbone={backbone}", "supervision=labeled_only"]
        assert self.losses(images) != self.losses(volumes)

    @pytest.mark.parametrize("backbone", choices("backbone"))
    @pytest.mark.parametrize("unet", [[], ["backbone/unet=smp"]])
    def test_every_backbone_reads_slices(self, backbone: str, unet: list[str]) -> None:
        image = {name: torch.randn(2, 1, 64, 64) for name in ("bright", "dark")}
        nested = unet if backbone not in ("smp", "basic_unet") else []
        module = build(training(*VOLUMES, f"backbone={backbone}", *nested, "data.slices=true", "supervision=full"))
        mask = {name: torch.randint(4, (2, 64, 64)) for name in image}
        loss = module.losses({"image": image, "mask": mask}, progress=0.0)["loss"]
        loss.backward()
        assert torch.isfinite(loss) and module.eval()(image, (70, 64))["prediction"].shape == (2, 4, 70, 64)

    @pytest.mark.parametrize("supervision", choices("supervision"))
    def test_every_mode(self, supervision: str) -> None:
        trained = [self.losses([*data, f"supervision={supervision}"]) for data in (IMAGES, VOLUMES)]
        assert any(trained)

    @pytest.mark.parametrize("loss", choices("loss"))
    def test_every_loss(self, loss: str) -> None:
        for data in ([*IMAGES, "data.classes=1"], [*IMAGES, "data.classes=3"], VOLUMES):
            assert self.losses([*data, f"loss={loss}", "supervision=full"])

    @pytest.mark.parametrize("experiment", choices("experiment"))
    def test_every_experiment(self, experiment: str) -> None:
        assert len(list(build(training(f"experiment={experiment}")).parameters())) > 10
        header = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text()
        assert all(word in header for word in ("command", "hardware", "expected", f"experiment={experiment}"))

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (["supervision=cmc"], "CrossModality does not support images"),
            (["data.classes=3"], "MultiLevel trains on maps of one class, but data.classes=3; choose supervision=full"),
            ([*BCE, "data.classes=3"], "not a loss for classes=3 .*; choose loss=dice_ce"),
            (["loss._target_=torch.nn.CrossEntropyLoss"], r"classes=1 \(wrong logits cost no more than right ones\)"),
            (
                ["loss._target_=torch.nn.BCELoss"],
                "not a loss for classes=1 .*; choose loss=dice_ce",
            ),  # of probabilities
            (["loss._target_=torch.nn.L1Loss", "+loss.reduction=none"], "returns no scalar tensor: take the mean"),
            (["+loss._partial_=true"], r"^loss: .* is not a torch.*Module; remove loss\._partial_$"),
            (["loss=focal", "loss.alpha=2"], r"^loss\.alpha must be at most 1, got 2$"),
            (["supervision=full", "+supervision.loss=1"], r"^supervision\.loss cannot be chosen"),
            (["~loss._target_"], "^loss has no _target_; write"),
            (["supervision=full", "backbone._target_=torch.nn.Identity"], "Full has no parameter to train; derive"),
            ([*VOLUMES, "supervision=multi_level"], "MultiLevel does not support volumes"),
            (
                [*VOLUMES, "supervision=full", "backbone=basic_unet"],
                "BasicUNet2d does not read volumes.* data.slices=t",
            ),
            ([*VOLUMES, "supervision=full", "backbone/unet=smp"], r"^backbone\.unet: SmpUNet reads .*set data.slices="),
            (["backbone=basic_unet", "backbone.groups=7"], r"^backbone\.features must be six multiples of groups=7"),
            ([*VOLUMES, "data.classes=1", "supervision=cmc"], "^supervision: CMC compares the background too"),
            ([*VOLUMES, "supervision=cmc", "backbone=early_fusion"], "^backbone: EarlyFusion has no features"),
        ],
    )
    def test_parts_that_do_not_fit_are_refused(self, overrides: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            build(training(*IMAGES, *overrides))

    def test_a_target_replaces_the_unet(self) -> None:
        config = training(*VOLUMES, "backbone.unet._target_=fovea.models.unet3d.DynUNet3d")
        config["backbone"]["unet"]["features"] = [4, 6, 8]
        assert instantiate(config["backbone"])().stride == 4


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [*((name, "constant") for name in choices("optimizer")), *(("sgd", name) for name in choices("scheduler"))],
)
def test_every_optimizer_and_every_schedule(optimizer: str, scheduler: str) -> None:
    config = resolved("train", f"optimizer={optimizer}", f"scheduler={scheduler}")
    parameter = torch.nn.Parameter(torch.ones(1))
    built = instantiate(config["optimizer"])([parameter])
    schedule = instantiate(config["scheduler"])(built, max_steps=300, steps_per_epoch=10)
    for _ in range(300):
        parameter.grad = torch.ones(1)
        built.step()
        schedule.step()
    assert parameter.item() < 1
    assert schedule.get_last_lr()[0] <= config["optimizer"]["lr"]


@pytest.mark.parametrize(
    ("name", "numbers", "rate"),
    [
        ("StepLR", {"step_size": 3, "gamma": 0.5}, 0.05),
        ("CosineAnnealingLR", {"T_max": 4}, 0.0),
        ("ReduceLROnPlateau", {}, None),
    ],
)
def test_schedulers_of_torch_are_stepped_by_step(name: str, numbers: dict[str, Any], rate: float | None) -> None:
    config = {"_target_": f"torch.optim.lr_scheduler.{name}", "_partial_": True, **numbers}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    if rate is None:
        with pytest.raises(ValueError, match=r"^scheduler: ReduceLROnPlateau needs a validation score"):
            schedule_of(instantiate(config, "scheduler"), optimizer, max_steps=4, steps_per_epoch=2)
        return
    schedule = schedule_of(instantiate(config, "scheduler"), optimizer, max_steps=4, steps_per_epoch=2)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(rate)]


@pytest.mark.parametrize("augmentation", choices("augmentation"))
def test_every_augmentation_keeps_shapes(augmentation: str) -> None:
    config = resolved("train", f"augmentation={augmentation}")["data"]["augment"]
    if "spatial" in config:
        pytest.skip("for volumes: tests/data/volumes")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    mask = (image[:, :, 0] > 128).astype(np.uint8)
    augment = A.Compose([instantiate(transform) for transform in config.values()], seed=0)
    results = [augment(image=image, mask=mask) for _ in range(8)]
    assert all(result["image"].shape == image.shape and result["image"].dtype == np.uint8 for result in results)
    assert all(set(np.unique(result["mask"])) <= {0, 1} for result in results)
    assert any(not np.array_equal(result["image"], image) for result in results) == bool(config)


@pytest.mark.parametrize("sweep", choices("sweep"))
def test_every_sweep_changes_keys_that_exist(sweep: str) -> None:
    text = OmegaConf.load(CONFIGS / "sweep" / f"{sweep}.yaml")
    params = OmegaConf.to_container(OmegaConf.select(text, "hydra.sweeper.params"), resolve=False)
    overrides = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    assert overrides and all(override.is_sweep_override() for override in overrides)
    keys = [f"{override.get_key_element()}." for override in overrides]
    images = all(any(name.startswith(key) for name in keys_of_images()) for key in keys)
    data = "synthetic" if images else "paired_synthetic"
    config = composed("train", f"data={data}", f"sweep={sweep}")
    assert config.hydra.mode.name == "MULTIRUN" and config.ckpt_path == "auto"
    last = []
    for override in overrides:
        values = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else ["0.01"]
        assert len(values) == len(set(values)) > 0
        last.append(f"{override.get_key_element()}={values[-1]}")
    resolved("train", f"data={data}", f"sweep={sweep}", *last)


@cache
def keys_of_images() -> list[str]:
    return [f"{name}." for name in dict(flat(OmegaConf.to_container(composed("train", *IMAGES))))]


def test_the_optuna_sweeper_is_built() -> None:
    config = composed("train", "sweep=optuna", "hydra.sweep.dir=DIR")
    search = Search(config, None, **build_plugin(config.hydra.sweeper).settings)
    assert search.storage == "DIR/study.journal" and search.sampler(seed=0).__class__.__name__ == "TPESampler"


@pytest.mark.parametrize("compute", choices("compute"))
def test_every_compute_sets_strategy_and_resume(compute: str) -> None:
    config = resolved("train", f"compute={compute}")
    assert config["ckpt_path"] == ("auto" if compute.startswith("slurm") else None)
    assert config["trainer"]["strategy"] == ("ddp" if compute.endswith("ddp") else "auto")
    assert resolved("prepare", f"compute={compute}")["shard"] is None


def test_a_slurm_job_has_a_gpu_for_each_process() -> None:
    config = composed("train", "compute=slurm_ddp", "compute.devices=4", "compute.nodes=2", "compute.requeues=3")
    launcher = config.hydra.launcher
    assert launcher.tasks_per_node == launcher.gpus_per_node == config.trainer.devices == 4
    assert launcher.nodes == config.trainer.num_nodes == 2
    assert launcher.max_num_timeout == 3 and config.hydra.mode.name == "MULTIRUN"


@pytest.mark.parametrize("cache", choices("cache"))
def test_every_cache_serves_samples(cache: str, tmp_path: Path) -> None:
    small = [f"data.root={tmp_path / 'set'}", "data.dataset.images=12", "data.dataset.image_size=32", "data.size=16"]
    config = resolved("train", "data=synthetic", *small, f"cache={cache}")["data"]
    if "folder" in (config["cache"] or {}):
        config["cache"]["folder"] = str(tmp_path / "cache")
    [samples] = instantiate(config).train(["mask"]).streams().values()
    assert samples[0, 1]["image"].shape == (3, 16, 16)


def test_gray_slices_are_normalized_one_by_one() -> None:
    normalize = instantiate(resolved("train", "data=nci_isbi")["data"]["normalize"])
    for scale in (1, 3):
        image = scale * np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
        normalized = normalize(image=image)["image"]
        assert normalized.shape == (8, 8, 1)
        assert abs(normalized.mean()) < 1e-4 and abs(normalized.std() - 1) < 1e-3
