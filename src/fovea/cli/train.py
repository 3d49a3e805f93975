"""`fovea-train`: from a data set (and a store of pseudo-masks) to a run folder."""

from fovea.data.plan import evaluation_plan, make_plan
from fovea.gaze.parameters import Parameters
from fovea.runtime.entry import Config, command
from fovea.runtime.instantiate import instantiate, locate


@command("train")
def main(config: Config) -> None:
    """Check what can be checked in a second, then import Lightning and train."""
    data, gaze = config["data"], config["gaze"]
    needs = sorted(locate(config["supervision"]["_target_"], "supervision._target_").needs)
    parameters = Parameters.of(gaze).flat()
    dataset, root, store, select_on = instantiate(data["dataset"]), data["root"], gaze["store"], data["select_on"]
    fraction, duplicates = data["fraction"], data["duplicates"]
    plan = make_plan(dataset, root, needs, store, parameters, fraction, select_on, config["seed"], duplicates)
    for split in set(config["evaluate"]) - {"val"}:
        evaluation_plan(dataset, root, split, select_on, store, parameters)
    instantiate(config["scoring"])  # a wrong value would otherwise show after the training
    from fovea.runtime import numerics  # torch, which `--help` does without

    numerics.check(config)
    from fovea.training import train

    train(config, plan, parameters)


if __name__ == "__main__":
    main()
