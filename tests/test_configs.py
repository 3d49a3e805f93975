"""Every shipped YAML file is composed, and what it describes is built."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from fovea.data.volumes.source import transform_of
from fovea.engine.build import build
from fovea.runtime.config import config_folder, instantiate, resolve

# What reads volumes by modality, and the loss of label maps; the others are of images with one structure.
NETWORKS_BY_MODALITY = ["cross_modality", "early_fusion", "each_modality"]
BY_MODALITY = ["cmc", "cross_pseudo", "labeled_only", "mean_teacher"]
OF_LABEL_MAPS = ["dice_ce"]
VOLUMES = ["paired_synthetic", "paired_volumes"]
PUBLISHED_VOLUMES = ["cmc_amos", "cmc_mscmr", "cmc_private"]
GIVEN = ["data.modalities=[ct,mri]", "data.classes=3"]  # what data=paired_volumes leaves to its user
GROUPS = sorted(folder.name for folder in config_folder().iterdir() if folder.is_dir())


def choices(group: str, but: Sequence[str] = ()) -> list[str]:
    """The names in a group that a user may choose; `base` is what the others are made of.

    Those in `but`, which are tested apart, must be there.
    """
    names = {path.stem for path in (config_folder() / group).glob("*.yaml") if path.stem != "base"}
    assert names >= {*but}
    return sorted(names - {*but})


def composed(command: str, run: Path, *overrides: str) -> dict:
    """A command's configuration, resolved as the command itself does it."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose(command, overrides=[f"hydra.run.dir={run}", *overrides], return_hydra_config=True)
        config.hydra.runtime.output_dir = str(run)
        HydraConfig.instance().set_config(config)
        del config.hydra
        return resolve(config)


def training(run: Path, *overrides: str) -> dict:
    """A training configuration, of a data set that need not be there."""
    return composed("train", run, "data.root=DIR", *overrides)


def tiny(config: dict) -> dict:
    """The same with no weights to download and, for the published U-Net, few features."""
    backbone = config["backbone"]
    if "encoder_weights" in backbone:
        backbone |= {"encoder_weights": None, "encoder_name": "tu-mobilenetv3_small_100"}
        if "Segformer" in backbone["network"]["_target_"]:
            backbone["encoder_name"] = "mit_b0"
    elif "unet" in backbone:
        backbone["unet"]["features"] = [4, 8]
    else:
        backbone["features"] = [4, 4, 8, 8, 8, 4]
    return config


@pytest.mark.parametrize("command", ["simulate", "import", "prepare", "train", "evaluate", "predict", "report"])
def test_every_command_composes_for_every_data_set(command: str, tmp_path: Path) -> None:
    given = {
        "simulate": ["out=F"],
        "import": ["source=D", "out=F", "format=maps"],
        "evaluate": ["checkpoint=F"],
        "predict": ["checkpoint=F", "input=D", "out=D"],
        "report": ["runs=D"],
    }
    for data in choices("data") if command not in ("predict", "report") else [None]:
        overrides = [f"data={data}", "data.root=DIR"] if data else []
        overrides += GIVEN if data == "paired_volumes" else []
        config = composed(command, tmp_path, *overrides, *given.get(command, []))
        assert config["run_dir"] == str(tmp_path)
        if data:
            assert config["data"]["name"] == data
            assert data in VOLUMES or config["labels"]["path"].startswith("DIR/")


def test_the_default_store_is_named_after_what_its_maps_depend_on(tmp_path: Path) -> None:
    stores = {
        composed("prepare", tmp_path, *overrides)["store"]
        for overrides in (
            [],
            ["labels.sigma=50"],
            ["labels.dose=0.5"],
            ["refine.compat=3"],
            ["refine=none"],
            ["data=synthetic"],
        )
    }
    assert len(stores) == 6
    assert composed("prepare", tmp_path)["store"] == training(tmp_path)["store"]


def test_every_file_of_every_group_is_reached_by_a_test() -> None:
    tested = {
        "data",
        "labels",
        "refine",
        "backbone",
        "supervision",
        "loss",
        "optimizer",
        "scheduler",
        "augmentation",
        "trainer",
    }
    watched = {
        "callbacks",
        "logger",
        "experiment",
        "observer",
        "format",
        "scoring",
        "tta",
        "compute",
        "cache",
        "sweep",
        "hydra",
    }
    assert set(GROUPS) == tested | watched


@pytest.mark.parametrize("backbone", choices("backbone", but=NETWORKS_BY_MODALITY))
@pytest.mark.parametrize("supervision", choices("supervision", but=BY_MODALITY))
def test_every_backbone_serves_every_supervision(backbone: str, supervision: str, tmp_path: Path) -> None:
    config = tiny(training(tmp_path, f"backbone={backbone}", f"supervision={supervision}"))
    module = build(config)
    batch = {"image": torch.randn(2, 3, 64, 64), "mask": torch.ones(2, 1, 64, 64), "pseudo": torch.rand(2, 1, 64, 64)}
    loss = module.losses(batch, progress=0.0)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    # Several processes wait for the gradients of all parameters.
    assert [name for name, value in module.named_parameters() if value.requires_grad and value.grad is None] == []
    with torch.inference_mode():
        assert module.eval()(batch["image"], (70, 50))["prediction"].shape == (2, 1, 70, 50)


def paired(run: Path, *overrides: str) -> dict:
    """A training configuration of two modalities, three classes and one channel."""
    data = ["data=paired_volumes", *GIVEN, "loss=dice_ce"]
    return tiny(training(run, *data, *overrides))


@pytest.mark.parametrize("backbone", NETWORKS_BY_MODALITY)
@pytest.mark.parametrize("supervision", BY_MODALITY)
def test_every_backbone_by_modality_serves_its_supervision(backbone: str, supervision: str, tmp_path: Path) -> None:
    config = paired(tmp_path, f"backbone={backbone}", f"supervision={supervision}")
    if (backbone, supervision) == ("early_fusion", "cmc"):  # it has no features of each modality
        with pytest.raises(ValueError, match="choose backbone=cross_modality"):
            build(config)
        return
    module = build(config)
    image = {name: torch.randn(1, 1, 8, 8, 8) for name in ("ct", "mri")}
    labeled = {"image": image, "mask": {name: torch.randint(3, (1, 8, 8, 8)) for name in image}}
    loss = module.losses({"labeled": labeled, "unlabeled": {"image": image}}, progress=0.8)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, value in module.named_parameters() if value.requires_grad and value.grad is None] == []
    with torch.inference_mode():
        assert module.eval()(image, (9, 8, 7))["prediction"].shape == (1, 3, 9, 8, 7)


def test_data_without_modalities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose data that has them"):
        build(training(tmp_path, "backbone=cross_modality", "supervision=cmc", "data.classes=2"))


def test_another_unet_is_a_target_away(tmp_path: Path) -> None:
    config = paired(tmp_path, "backbone=cross_modality", "backbone.unet._target_=fovea.models.unet3d.DynUNet3d")
    config["backbone"]["unet"]["features"] = [4, 6, 8]
    assert instantiate(config["backbone"])().stride == 4


@pytest.mark.parametrize(("backbone", "supervision"), [("cross_modality", "full"), ("smp_unet", "cmc")])
def test_modes_and_networks_of_different_kinds_are_refused(backbone: str, supervision: str, tmp_path: Path) -> None:
    config = paired(tmp_path, f"backbone={backbone}", f"supervision={supervision}")
    with pytest.raises(ValueError, match="volumes by modality"):
        build(config).losses({"image": torch.zeros(1, 1, 8, 8), "mask": torch.zeros(1, 1, 8, 8)}, progress=0.0)


@pytest.mark.parametrize("backbone", ["smp_unet", "basic_unet"])
@pytest.mark.parametrize("supervision", ["full", "band"])
def test_backbones_with_coarser_scales_serve_deep_supervision(backbone: str, supervision: str, tmp_path: Path) -> None:
    overrides = (f"backbone={backbone}", f"supervision={supervision}", "supervision.deep=0.4")
    module = build(tiny(training(tmp_path, *overrides)))
    batch = {"image": torch.randn(2, 3, 64, 64), "mask": torch.ones(2, 1, 64, 64), "pseudo": torch.rand(2, 1, 64, 64)}
    terms = module.losses(batch, progress=0.0)
    terms["loss"].backward()
    assert terms["deep"].item() > 0
    assert all(value.grad is not None for value in module.parameters())


@pytest.mark.parametrize("loss", choices("loss", but=OF_LABEL_MAPS))
@pytest.mark.parametrize("supervision", choices("supervision", but=BY_MODALITY))
def test_every_loss_serves_every_supervision(loss: str, supervision: str, tmp_path: Path) -> None:
    module = build(tiny(training(tmp_path, "backbone=basic_unet", f"loss={loss}", f"supervision={supervision}")))
    pseudo = torch.linspace(0, 1, 2 * 16 * 16).reshape(2, 1, 16, 16)
    value = module.losses({"image": pseudo.expand(2, 3, 16, 16), "mask": pseudo.round(), "pseudo": pseudo}, 0.0)["loss"]
    value.backward()
    assert torch.isfinite(value)
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


@pytest.mark.parametrize("loss", choices("loss", but=OF_LABEL_MAPS))
def test_every_loss_falls_as_the_logits_get_right(loss: str, tmp_path: Path) -> None:
    function = instantiate(training(tmp_path, f"loss={loss}")["loss"])
    target = (torch.arange(64).reshape(1, 1, 8, 8) < 20).float()
    wrong, unsure, right = (function(scale * (target - 0.5), target) for scale in (-8.0, 0.0, 8.0))
    assert wrong > unsure > right >= -1e-6


@pytest.mark.parametrize("optimizer", choices("optimizer"))
@pytest.mark.parametrize("scheduler", choices("scheduler"))
def test_every_optimizer_takes_every_schedule(optimizer: str, scheduler: str, tmp_path: Path) -> None:
    config = training(tmp_path, f"optimizer={optimizer}", f"scheduler={scheduler}")
    parameter = torch.nn.Parameter(torch.ones(1))
    stepped = instantiate(config["optimizer"])([parameter])
    schedule = instantiate(config["scheduler"])(stepped, max_steps=300, steps_per_epoch=10)
    for _ in range(300):
        parameter.grad = torch.ones(1)
        stepped.step()
        schedule.step()
    assert parameter.item() < 1
    assert schedule.get_last_lr()[0] <= config["optimizer"]["lr"]


@pytest.mark.parametrize("augmentation", choices("augmentation", but=["volumes"]))
def test_every_augmentation_keeps_shapes_and_changes_what_it_says(augmentation: str, tmp_path: Path) -> None:
    import albumentations as A
    import numpy as np

    config = training(tmp_path, f"augmentation={augmentation}")
    transforms = [instantiate(each) for each in config["data"]["augment"].values()]
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    mask = (image[:, :, 0] > 128).astype(np.uint8)
    augment = A.Compose(transforms, seed=0)
    seen = [augment(image=image, mask=mask) for _ in range(8)]
    assert all(each["image"].shape == image.shape and each["image"].dtype == np.uint8 for each in seen)
    assert all(set(np.unique(each["mask"])) <= {0, 1} for each in seen)
    assert any(not np.array_equal(each["image"], image) for each in seen) == (augmentation != "none")


@pytest.mark.parametrize("data", VOLUMES)
@pytest.mark.parametrize("augmentation", ["volumes", "none"])
def test_volumes_are_augmented_as_their_masks_are(data: str, augmentation: str, tmp_path: Path) -> None:
    given = GIVEN if data == "paired_volumes" else []
    config = training(tmp_path, f"data={data}", *given, f"augmentation={augmentation}")["data"]
    names = config["modalities"]
    kinds = [f"{kind} {name}" for kind in ("image", "mask") for name in names]
    groups = [config["augment"].get(group, {}).values() for group in ("spatial", "intensity")]
    spatial, intensity = ([transform_of(each, kinds) for each in group] for group in groups)
    assert (len(spatial) > 0) == (augmentation == "volumes") == (len(intensity) > 0)
    mask = torch.arange(4**3).reshape(1, 4, 4, 4).float()
    given_arrays = {kind: mask.clone() for kind in kinds}
    for transform in spatial:
        transform.set_random_state(0)
        given_arrays = transform(given_arrays)
    assert all(
        torch.equal(torch.as_tensor(each), torch.as_tensor(given_arrays[kinds[0]])) for each in given_arrays.values()
    )
    assert all(instantiate(config["intensity"][name])(mask).shape == mask.shape for name in names)


def test_a_transform_that_interpolates_takes_masks_by_the_nearest_voxel() -> None:
    affine = {"_target_": "monai.transforms.RandAffined", "prob": 1.0, "rotate_range": [0.5, 0.0, 0.0]}
    made = transform_of(affine, ["image ct", "mask ct"])
    moved = made({kind: torch.randint(3, (1, 8, 8, 8)).float() for kind in ("image ct", "mask ct")})
    assert set(moved["mask ct"].unique().tolist()) <= {0.0, 1.0, 2.0} and len(moved["image ct"].unique()) > 3


@pytest.mark.parametrize("cache", choices("cache"))
def test_every_cache_serves_the_data_module(cache: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    small = ["data=synthetic", f"data.root={root}", "data.dataset.images=12", "data.dataset.image_size=32"]
    settings = [f"data.cache.folder={tmp_path / 'cache'}"] if cache == "disk" else []
    config = training(tmp_path, *small, "data.size=16", f"cache={cache}", *settings)
    [samples] = instantiate(config["data"]).train(["mask"]).streams().values()
    assert samples[0, 1]["image"].shape == (3, 16, 16)
    assert len(list((tmp_path / "cache").glob("set-*.npy"))) == (2 if cache == "disk" else 0)


@pytest.mark.parametrize("logger", choices("logger"))
def test_every_logger_keeps_the_csv(logger: str, tmp_path: Path) -> None:
    assert "csv" in training(tmp_path, f"logger={logger}")["logger"]


@pytest.mark.parametrize("sweep", choices("sweep"))
def test_every_sweep_is_one_of_keys_that_exist(sweep: str, tmp_path: Path) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    data = ["data=paired_synthetic"] if sweep in ("labeled_fraction", "misalignment") else []
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", overrides=[*data, f"sweep={sweep}"], return_hydra_config=True)
    assert config.hydra.mode.name == "MULTIRUN" and config.ckpt_path == "auto"
    given = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()]
    swept = OverridesParser.create().parse_overrides(given)
    assert swept and all(each.is_sweep_override() for each in swept)
    for each in swept:
        values = list(each.sweep_string_iterator()) if each.is_discrete_sweep() else ["0.01"]
        assert len(values) == len(set(values)) and all(
            training(tmp_path, *data, f"sweep={sweep}", f"{each.get_key_element()}={value}") for value in values
        )


def test_the_sweeper_of_optuna_is_built() -> None:
    from fovea.sweeps.study import Search

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", overrides=["sweep=optuna", "hydra.sweep.dir=DIR"], return_hydra_config=True)
    from hydra.utils import instantiate as build_plugin

    sweeper = build_plugin(config.hydra.sweeper)
    search = Search(config, None, **sweeper.settings)
    assert search.storage == "DIR/study.journal" and search.sampler(seed=0).__class__.__name__ == "TPESampler"


@pytest.mark.parametrize("callbacks", choices("callbacks"))
def test_every_set_of_callbacks_is_built(callbacks: str, tmp_path: Path) -> None:
    config = training(tmp_path, f"callbacks={callbacks}")["callbacks"]
    assert {"best", "last", "preemption", "rate", "progress"} <= set(config)
    assert all(instantiate(each).state_key for each in config.values())


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_built(experiment: str, tmp_path: Path) -> None:
    config = tiny(training(tmp_path, f"experiment={experiment}"))
    steps = {"laptop_kvasir": 1000, "laptop_cardiac": 400} | dict.fromkeys(PUBLISHED_VOLUMES, -1)
    assert config["trainer"]["max_steps"] == steps.get(experiment, 15000)
    assert experiment not in PUBLISHED_VOLUMES or config["trainer"]["max_epochs"] == 500
    assert len(list(build(config).parameters())) > 10
    header = (config_folder() / "experiment" / f"{experiment}.yaml").read_text()
    assert all(word in header for word in ("command", "hardware", "expected", f"experiment={experiment}"))


def test_the_trainer_and_its_callbacks_are_built(tmp_path: Path) -> None:
    config = training(tmp_path, "trainer.accelerator=cpu")
    callbacks = {name: instantiate(each) for name, each in config["callbacks"].items()}
    trainer = instantiate(config["trainer"] | {"_partial_": True})(logger=False, callbacks=[*callbacks.values()][:2])
    assert trainer.max_steps == 5000
    assert callbacks["best"].monitor == "val/dice"
    assert callbacks["last"].path == tmp_path / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("compute", choices("compute"))
def test_every_place_to_compute_is_composed(compute: str, tmp_path: Path) -> None:
    config = training(tmp_path, f"compute={compute}")
    slurm = compute.startswith("slurm")
    assert config["ckpt_path"] == ("auto" if slurm else None)
    assert config["trainer"]["strategy"] == ("ddp" if compute.endswith("ddp") else "auto")
    assert composed("prepare", tmp_path, f"compute={compute}")["shard"] is None


def test_processes_gpus_and_devices_of_a_slurm_job_are_as_many(tmp_path: Path) -> None:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        given = ["compute=slurm_ddp", "compute.devices=4", "compute.nodes=2", "compute.requeues=3"]
        config = compose("train", overrides=["data.root=DIR", *given], return_hydra_config=True)
    launcher = config.hydra.launcher
    assert launcher.tasks_per_node == launcher.gpus_per_node == config.trainer.devices == 4
    assert launcher.nodes == config.trainer.num_nodes == 2
    assert launcher.max_num_timeout == 3 and config.hydra.mode.name == "MULTIRUN"


@pytest.mark.parametrize("scoring", choices("scoring"))
def test_scoring_is_the_same_for_both_commands_that_evaluate(scoring: str, tmp_path: Path) -> None:
    ended, evaluated = training(tmp_path, f"scoring={scoring}"), composed("evaluate", tmp_path, "checkpoint=F")
    assert ended["scoring"] == evaluated["scoring"]
    built = instantiate(composed("evaluate", tmp_path, "checkpoint=F", "scoring.size_bounds=[0.02,0.1]")["scoring"])
    assert list(built.size_bounds) == [0.02, 0.1] and built.surface_tolerance == 2.0


@pytest.mark.parametrize("observer", choices("observer"))
def test_every_observer_is_built(observer: str, tmp_path: Path) -> None:
    from fovea.simulate.gaze import Observer

    config = composed("simulate", tmp_path, "out=F", f"observer={observer}")
    assert Observer(**config["observer"])


@pytest.mark.parametrize("name", choices("format"))
def test_every_format_is_built(name: str, tmp_path: Path) -> None:
    config = composed("import", tmp_path, f"format={name}", "source=D", "out=F")
    assert callable(instantiate(config["format"]))


def test_grey_slices_get_a_score_each(tmp_path: Path) -> None:
    import numpy as np

    normalize = instantiate(training(tmp_path, "data=nci_isbi")["data"]["normalize"])
    for scale in (1, 3):
        image = scale * np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
        normalized = normalize(image=image)["image"]
        assert normalized.shape == (8, 8, 1)
        assert abs(normalized.mean()) < 1e-4 and abs(normalized.std() - 1) < 1e-3


@pytest.mark.parametrize("tta", choices("tta"))
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_every_test_time_augmentation_is_built(command: str, tta: str, tmp_path: Path) -> None:
    given = ["checkpoint=F", f"tta={tta}", *(["input=D", "out=D"] if command == "predict" else [])]
    flips = instantiate(composed(command, tmp_path, *given)["tta"])(torch.nn.Identity()).flips
    assert len(flips) == {"none": 1, "flips": 4}[tta]
