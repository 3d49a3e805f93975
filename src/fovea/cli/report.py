"""`fovea-report`: run folders as one table and one page."""

import logging
from collections.abc import Sequence

from fovea.runtime.app import Config, command

log = logging.getLogger(__name__)


@command("report")
def main(config: Config) -> None:
    """Write the page, the tables and the figures into `out`; neither torch nor data are needed."""
    from fovea.report.budget import Costs, budget
    from fovea.report.comparison import Alpha, Resamples, markdown, note, refuse_others, write_comparison
    from fovea.report.report_page import write_figures, write_report_page
    from fovea.report.runs import FINISHED, find_runs
    from fovea.report.study import keep, study, warnings, write_runs
    from fovea.runtime.bounds import NonNegative, check, check_values
    from fovea.runtime.config import path_of

    check_values({"alpha": Alpha, "resamples": Resamples, "megabytes": NonNegative, "pdf": bool}, config, "")
    check(Costs, config["budget"], "budget")
    out, score, ignore, baseline = path_of(config, "out"), str(config["score"]), config["ignore"], config["baseline"]
    ignored = [ignore] if isinstance(ignore, str) else ignore or []
    check_values({"ignore": Sequence[str]}, {"ignore": ignored}, "")
    refuse_others(out, "table", ["report.html", "runs.csv", "figures.json"])
    runs = keep(find_runs(config["runs"], config["split"], score), config["only"])
    numbers = (config["alpha"], config["resamples"], config["seed"])
    report = study(runs, ignored, None if baseline is None else str(baseline), score, *numbers)
    plan = budget(report, Costs(**config["budget"]))
    write_comparison(report.comparison, out, "table")
    write_runs(out / "runs.csv", report)
    write_report_page(out / "report.html", report, config["megabytes"], plan)
    write_figures(out, report, plan, config["pdf"])
    log.info("%s\n\n%s", markdown(report.comparison), note(report.comparison))
    if plan:
        log.info("\n%s", plan.advice)
    for line in warnings(report):
        log.warning("%s", line)
    for run in (run for run in report.runs if run.status != FINISHED):
        log.warning("%s: %s: %s", run.status, run.folder, run.note)
    log.info("%s", out / "report.html")


if __name__ == "__main__":
    main()
