"""`fovea-prepare`: from images and labels to a store of maps."""

import logging

from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("prepare")
def main(config: Config) -> None:
    """Write `store` for the images of `data.root` from `labels.path`."""
    from fovea.data.images.source import folder_of
    from fovea.data.maps import built, parameters, store_path
    from fovea.prepare.quality import means
    from fovea.prepare.stage import prepare
    from fovea.report.quality_page import write_quality_page
    from fovea.runtime.bounds import check
    from fovea.runtime.config import path_of

    labels, refine = config["labels"], config["refine"]
    store = store_path(str(path_of(config, "store")), labels["path"])
    options = {key: config[key] for key in ("workers", "quality", "quality_masks", "shards", "shard")}
    check(prepare, options, "")
    survey = prepare(
        folder_of(config["data"])(root=config["data"]["root"]),
        built(labels, "labels"),
        built(refine, "refine"),
        store,
        parameters(labels, refine, config["data"]),
        labels["thresholds"],
        **options,
        page=write_quality_page,
    )
    log.info("%d maps in %s", len(survey.statistics), store)
    log.info("labels: %s", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in survey.counts.items()))
    if survey.empty:
        log.warning("%d images of train and val have no usable label: %s", len(survey.empty), first_few(survey.empty))
    if survey.rows:
        figures = ", ".join(f"{key} {value:.4f}" for key, value in means(survey.rows).items())
        log.info("means over the images: %s", figures)
        log.info("quality: %s", survey.verdict())
        if survey.validations:
            log.info("validations of the eye tracker: %s", first_few(survey.validations))
        log.info("page: %s", store / "quality.html")
    if config["shard"] is not None:
        log.info("shard %d of %d: run again without shard when all are done", config["shard"], config["shards"])
    made, problems = len(survey.statistics), []
    if survey.failures:
        few = first_few(survey.failures.values(), 2)
        problems.append(f"{len(survey.failures)} images failed, the other {made} are in {store}: {few}")
    if survey.damaged:
        few = first_few(survey.damaged.values(), 2)
        problems.append(f"{len(survey.damaged)} masks could not be compared with their maps, which are usable: {few}")
    if problems:
        raise ValueError("; ".join(problems))


if __name__ == "__main__":
    main()
