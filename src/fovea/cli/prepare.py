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
    """Write `gaze.store` for the images of `data.root` from `gaze.fixations`."""
    gaze = config["gaze"]
    dataset = folder_of(config["data"])(root=config["data"]["root"])
    report = prepare(
        dataset,
        Path(gaze["fixations"]),
        Path(gaze["store"]),
        Parameters.of(gaze),
        workers=gaze["workers"],
        quality=gaze["quality"],
        thresholds=gaze["thresholds"],
        quality_masks=gaze["quality_masks"],
        page=write_quality_page,
        shards=gaze["shards"],
        shard=gaze["shard"],
    )
    log.info("%d maps in %s", report.done, gaze["store"])
    if gaze["shard"] is not None:
        log.info("shard %d of %d: run once more without gaze.shard when all are done", gaze["shard"], gaze["shards"])
    log.info("fixations: %s", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in report.table.items()))
    if report.without_fixations:
        unseen = report.without_fixations
        log.warning("%d images have no fixation: %s", len(unseen), first_few(unseen))
    if report.quality is not None:
        log.info("means over the images: %s", ", ".join(f"{key} {value:.4f}" for key, value in report.quality.items()))
    if report.verdict is not None:
        log.info("quality: %s", report.verdict)
        log.info("page: %s", Path(gaze["store"]) / "quality.html")
    if report.failures:
        raise ValueError(
            f"{len(report.failures)} images failed, the other {report.done} are in {gaze['store']}: "
            f"{first_few(report.failures.values(), 2)}"
        )


if __name__ == "__main__":
    main()
