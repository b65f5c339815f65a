"""A stopping rule of your own: follow the events, cancel the job, and take the best checkpoint.

    python examples/stopping_rule.py PHOTOS SESSION [--patience N]

Stops when the validation loss has not fallen for N iterations. A cancelled job is paused, nothing is lost: the model
comes from the best checkpoint, and a later call with the same session would train on.
"""

from __future__ import annotations

import argparse

import mlsession as ml
from mlsession.events import Progressed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder with one sub-folder for each label")
    parser.add_argument("session", help="where the session is kept")
    parser.add_argument("--patience", type=int, default=3, help="iterations without progress to wait for")
    arguments = parser.parse_args()

    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(arguments.photos),
        ml.ModelParameters(validation=ml.Validation.split(0.3), max_iterations=200),
        ml.SessionParameters(arguments.session, report_interval=1, checkpoint_interval=1),
    )
    best, best_iteration = float("inf"), 0
    for event in job.events():
        if not (isinstance(event, Progressed) and event.phase == ml.Phase.TRAINING):
            continue
        loss = event.metrics["validation_loss"]
        print(f"iteration {event.iteration}: validation loss {loss:.4f}")
        if loss < best:
            best, best_iteration = loss, event.iteration
        elif event.iteration - best_iteration >= arguments.patience:
            job.cancel(f"no progress since iteration {best_iteration}")
    error = job.exception()
    print(f"the job ended: {error or 'the solver had converged'}")

    with ml.Classifier.restore_training_session(ml.SessionParameters(arguments.session)) as session:
        chosen = min(
            (each for each in session.checkpoints if each.phase == ml.Phase.TRAINING),
            key=lambda checkpoint: checkpoint.metrics["validation_loss"],
        )
    classifier = ml.Classifier.from_checkpoint(chosen)
    print(f"best: iteration {chosen.iteration}, validation accuracy {chosen.metrics['validation_accuracy']:.1%}")
    print(f"model {classifier.model_digest}")


if __name__ == "__main__":
    main()
