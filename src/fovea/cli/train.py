"""`fovea-train`: from a data set (and a store of pseudo-masks) to a run folder."""

from typing import TYPE_CHECKING

from fovea.runtime.app import Config, command

if TYPE_CHECKING:
    from fovea.data.source import Source, Training
    from fovea.runtime.objective import Outcome


def ended(config: Config) -> "Outcome | None":
    """Return how the run ended, if `ckpt_path=auto` would find nothing to do; a ValueError if it had other images."""
    from fovea.runtime.config import instantiate
    from fovea.runtime.objective import FILE, read_outcome

    outcome = read_outcome(config)
    if outcome is not None and outcome.images != checked(instantiate(config["data"], "data"), config).digest:
        place = f"{config['run_dir']}/{FILE}"
        raise ValueError(f"{place}: the run trained on other images; restore them, or start a new run elsewhere")
    return outcome


@command("train", ended)
def main(config: Config) -> float | None:
    """Check what can be checked in a second, then import Lightning and train; return the value of the objective."""
    from fovea.engine import preflight
    from fovea.runtime.config import instantiate
    from fovea.runtime.objective import Outcome, write_outcome
    from fovea.runtime.processes import first

    preflight.check(config)
    for part in ("scheduler", "scoring", "supervision"):  # otherwise refused after the data are read
        instantiate(config[part], part)
    source: Source = instantiate(config["data"], "data")
    training = checked(source, config)
    held_out = {name: training.val if name == "val" else source.split(name) for name in config["evaluate"]}
    from fovea.engine import numerics

    numerics.check(config)
    from fovea.engine.train import train

    value = train(config, source, training, held_out)
    if first():
        write_outcome(config, Outcome(value, training.digest))
    return value


def checked(source: "Source", config: Config) -> "Training":
    """Check everything that the training reads; see `fovea.data.source.Source.train` for the errors."""
    from fovea.engine.preflight import check_mode
    from fovea.runtime.config import locate

    mode = locate(config["supervision"]["_target_"], "supervision._target_")
    check_mode(mode, config["data"])
    return source.train(sorted(mode.needs))


if __name__ == "__main__":
    main()
