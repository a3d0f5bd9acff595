"""A run in MLflow: where MLFLOW_TRACKING_URI says, else in `mlflow.db` beside the runs."""

import logging
import os
import time
from collections.abc import Mapping

from satgan.config import Config, by_name
from satgan.errors import InputError
from satgan.train.loggers import Ending

EXPERIMENT = "satgan"
BATCH_PARAMS = 100
"""MLflow takes no more at once."""

STATUS: dict[Ending, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowLogger:
    """See `Logger`.

    Args:
        config: whose options become the run's parameters, as `group.field`.
        run: id of the run to go on with; empty: a new one, in the experiment MLFLOW_EXPERIMENT_NAME, else `satgan`.
    """

    def __init__(self, config: Config, run: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it tells its makers that it is used
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client, self._config = MlflowClient(tracking_uri=tracking_uri(config)), config
        self.run = run or self._begun()
        if run:
            self._client.update_run(run, status="RUNNING")

    def _begun(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        run: str = self._client.create_run(experiment, run_name=self._config.train.name).info.run_id
        return run

    def _describe(self) -> None:
        """Options as parameters, those that are not there yet. Not when the run is made: then one whose parameters did
        not come there would have no id here, and the next attempt would make another."""
        from mlflow.entities import Param

        there = self._client.get_run(self.run).data.params
        options = by_name(self._config.model_dump(mode="json"))
        params = [Param(name, str(value)) for name, value in options.items() if name not in there]
        for first in range(0, len(params), BATCH_PARAMS):
            self._client.log_batch(self.run, params=params[first : first + BATCH_PARAMS])

    def newest(self, figure: str) -> int:
        """As the server has it."""
        return max((metric.step for metric in self._client.get_metric_history(self.run, figure)), default=-1)

    def add(self, row: int, step: int, figures: Mapping[str, float]) -> None:
        """One batch of metrics, which comes there whole or not at all."""
        from mlflow.entities import Metric

        if row == 0:
            self._describe()
        now = int(time.time() * 1000)
        self._client.log_batch(self.run, metrics=[Metric(name, value, now, step) for name, value in figures.items()])

    def close(self, ending: Ending) -> None:
        """Says how it ended."""
        self._client.set_terminated(self.run, STATUS[ending])


def tracking_uri(config: Config) -> str:
    """Where the runs are kept.

    Raises:
        InputError: nobody says it, and the store is a bucket, where no database can lie.
    """
    store = config.train.store
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if not given and "://" in store:
        found = f"--train.loggers mlflow: MLFLOW_TRACKING_URI is not set, and {store} cannot hold MLflow's database"
        raise InputError(found, "export MLFLOW_TRACKING_URI=http://… (a tracking server), or leave mlflow out")
    return given or f"sqlite:///{store}/mlflow.db"
