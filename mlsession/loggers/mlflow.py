"""The run of a session in MLflow: found by its tag, and gone on with."""

from __future__ import annotations

from pytorch_lightning.loggers import MLFlowLogger

from mlsession.loggers.held import HeldFigures
from mlsession.loggers.run import LoggedRun

TAG = "mlsession.session"
"""The tag of a run whose value is the session's id."""


def go_on(logger: MLFlowLogger, run: LoggedRun) -> HeldFigures:
    """Lets a logger that names no run of its own log to that of the session, and returns what that holds."""
    client, experiment = logger._mlflow_client, None
    if logger._run_id is None:
        logger.tags = {**(logger.tags or {}), TAG: run.id}
        experiment = client.get_experiment_by_name(logger._experiment_name)
    if experiment is not None and experiment.lifecycle_stage != "deleted":
        # The oldest, should two attempts have made one each, as when the tracking server was away.
        runs = client.search_runs(
            [experiment.experiment_id], f"tags.`{TAG}` = '{run.id}'", order_by=["attributes.start_time ASC"]
        )
        if runs:
            logger._run_id = runs[0].info.run_id
    if logger._run_id is None:
        return HeldFigures({})
    client.update_run(logger._run_id, status="RUNNING")
    names = client.get_run(logger._run_id).data.metrics
    return HeldFigures(
        {
            (name, metric.step): metric.value
            for name in names
            for metric in client.get_metric_history(logger._run_id, name)
        }
    )
