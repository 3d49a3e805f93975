"""`fovea-prepare`: from fixations to a store of pseudo-masks."""

import logging
from pathlib import Path

from fovea.data.images.source import folder_of
from fovea.data.parameters import Parameters
from fovea.prepare.stage import prepare
from fovea.report.quality_page import write_quality_page
from fovea.runtime.app import Config, command
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


@command("prepare")
def main(config: Config) -> None:
    """Write `store` for the images of `data.root` from `labels.path`."""
    labels, shard, shards = config["labels"], config["shard"], config["shards"]
    dataset = folder_of(config["data"])(root=config["data"]["root"])
    report = prepare(
        dataset,
        Path(labels["path"]),
        Path(config["store"]),
        Parameters.of(labels, config["refine"]),
        workers=config["workers"],
        quality=config["quality"],
        thresholds=labels["thresholds"],
        quality_masks=config["quality_masks"],
        page=write_quality_page,
        shards=shards,
        shard=shard,
    )
    log.info("%d maps in %s", report.done, config["store"])
    if shard is not None:
        log.info("shard %d of %d: run once more without shard when all are done", shard, shards)
    log.info("fixations: %s", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in report.table.items()))
    if report.without_fixations:
        unseen = report.without_fixations
        log.warning("%d images have no fixation: %s", len(unseen), first_few(unseen))
    if report.quality is not None:
        log.info("means over the images: %s", ", ".join(f"{key} {value:.4f}" for key, value in report.quality.items()))
    if report.verdict is not None:
        log.info("quality: %s", report.verdict)
        log.info("page: %s", Path(config["store"]) / "quality.html")
    if report.failures:
        raise ValueError(
            f"{len(report.failures)} images failed, the other {report.done} are in {config['store']}: "
            f"{first_few(report.failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
