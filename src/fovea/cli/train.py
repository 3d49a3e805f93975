"""`fovea-train`: from a data set (and a store of pseudo-masks) to a run folder."""

from fovea.data.protocols import Plan
from fovea.data.source import Kind
from fovea.runtime.app import Config, command
from fovea.runtime.config import instantiate, locate
from fovea.runtime.objective import FILE, Outcome, check_objective, read_outcome, write_outcome
from fovea.runtime.processes import first


def ended(config: Config) -> Outcome | None:
    """How the run in this folder ended, where `ckpt_path=auto` would find nothing left to do.

    Raises:
        ValueError: it was trained on other images.
    """
    outcome = read_outcome(config)
    if outcome is not None and outcome.images != plan_of(instantiate(config["data"]), config).digest:
        raise ValueError(
            f"{config['run_dir']}/{FILE}: the run trained on other images than data.root lists now; "
            "restore them or start afresh in another folder"
        )
    return outcome


@command("train", ended)
def main(config: Config) -> float | None:
    """Check what can be checked in a second, then import Lightning and train; return the value of the objective."""
    check_objective(config["objective"])
    kind: Kind = instantiate(config["data"])
    plan = plan_of(kind, config)
    for split in set(config["evaluate"]) - {"val"}:
        kind.split_plan(split)
    instantiate(config["scoring"])  # a wrong value would otherwise show after the training
    from fovea.engine import numerics  # torch, which `--help` does without

    numerics.check(config)
    from fovea.engine.train import train

    value = train(config, kind, plan)
    if first():
        write_outcome(config, Outcome(value, plan.digest))
    return value


def plan_of(kind: Kind, config: Config) -> Plan:
    """Which images go where, and which files may be opened for them; see `Kind.plan` for what is refused."""
    needs = sorted(locate(config["supervision"]["_target_"], "supervision._target_").needs)
    return kind.plan(needs)


if __name__ == "__main__":
    main()
