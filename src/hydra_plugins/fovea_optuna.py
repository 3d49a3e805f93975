"""The sweeper of `sweep=optuna`. Hydra finds sweepers in this package only, and imports it at every start."""

from collections.abc import Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class FoveaOptuna(Sweeper):
    """Run the trials of an Optuna study with the configured launcher; see `fovea.sweeps.study.Search`.

    Args:
        params: Overrides by key; those of the command line come after them.
        settings: Arguments of `Search`.
    """

    def __init__(self, params: Mapping[str, Any] | None, **settings: Any) -> None:
        self.params = dict(params or {})
        self.settings = settings
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Prepare the launcher; Hydra calls this before `sweep`."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has enough; a ValueError if storage or search are invalid, or trials failed."""
        from fovea.runtime.bounds import check
        from fovea.sweeps.study import Search  # imports Optuna

        assert self.config is not None and self.launcher is not None
        check(Search, self.settings, "hydra.sweeper")
        overrides = [f"{key}={value}" for key, value in self.params.items()] + arguments
        Search(self.config, self.launcher, **self.settings).run(overrides)
