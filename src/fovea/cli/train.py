"""`fovea-train`: from a data set (and a store of pseudo-masks) to a run folder."""

from fovea.data.plan import Plan, digest, evaluation_plan, make_plan
from fovea.gaze.parameters import Parameters
from fovea.runtime.entry import Config, command
from fovea.runtime.errors import FoveaError
from fovea.runtime.instantiate import instantiate, locate
from fovea.runtime.objective import FILE, Outcome, check_objective, read_outcome, write_outcome
from fovea.runtime.processes import first


def ended(config: Config) -> Outcome | None:
    """How the run in this folder ended, where `ckpt_path=auto` would find nothing left to do.

    Raises:
        FoveaError: it was trained on other images.
    """
    outcome = read_outcome(config)
    if outcome is not None and outcome.images != digest(plan_of(config).train):
        raise FoveaError(
            f"{config['run_dir']}/{FILE}: the run trained on other images than data.root lists now; "
            "restore them or start afresh in another folder"
        )
    return outcome


@command("train", ended)
def main(config: Config) -> float | None:
    """Check what can be checked in a second, then import Lightning and train; return the value of the objective."""
    data = config["data"]
    check_objective(config["objective"])
    plan = plan_of(config)
    parameters = Parameters.of(config["gaze"]).flat()
    for split in set(config["evaluate"]) - {"val"}:
        dataset, store = instantiate(data["dataset"]), config["gaze"]["store"]
        evaluation_plan(dataset, data["root"], split, data["select_on"], store, parameters)
    instantiate(config["scoring"])  # a wrong value would otherwise show after the training
    from fovea.runtime import numerics  # torch, which `--help` does without

    numerics.check(config)
    from fovea.training import train

    value = train(config, plan, parameters)
    if first():
        write_outcome(config, Outcome(value, digest(plan.train)))
    return value


def plan_of(config: Config) -> Plan:
    """Which images go where, and which files may be opened for them; see `make_plan` for what is refused."""
    data, gaze = config["data"], config["gaze"]
    needs = sorted(locate(config["supervision"]["_target_"], "supervision._target_").needs)
    dataset, parameters = instantiate(data["dataset"]), Parameters.of(gaze).flat()
    fraction, select_on, duplicates = data["fraction"], data["select_on"], data["duplicates"]
    return make_plan(
        dataset, data["root"], needs, gaze["store"], parameters, fraction, select_on, config["seed"], duplicates
    )


if __name__ == "__main__":
    main()
