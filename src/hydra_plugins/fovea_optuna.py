"""The sweeper behind `sweep=optuna`; Hydra takes sweepers from this package alone, and imports it at every start."""

from collections.abc import Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class FoveaOptuna(Sweeper):
    """Runs the trials of a study of Optuna by whatever launcher is configured; see `fovea.sweeps.study.Search`.

    Args:
        params: What is searched and what is fixed, by key, as on the command line, which comes after it.
        settings: Arguments of `Search`.
    """

    def __init__(self, params: Mapping[str, Any] | None, **settings: Any) -> None:
        self.params = dict(params or {})
        self.settings = settings
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra, before `sweep`."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Make trials until the study has as many as it should.

        Raises:
            ValueError: the storage is of no use, the search makes no sense, or trials failed.
        """
        from fovea.sweeps.study import Search  # Optuna, which nothing else needs

        assert self.config is not None and self.launcher is not None
        given = [f"{key}={value}" for key, value in self.params.items()] + arguments
        Search(self.config, self.launcher, **self.settings).run(given)
