"""Try other heads on the features of a session that has them: nothing is extracted twice.

    python examples/reuse_features.py PHOTOS WORK_FOLDER

Extracting takes nearly all the time of a training. A new session takes over what another one has extracted, matched by
the contents of the images; each head then trains in a moment.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mlsession as ml
from mlsession.events import PhaseFinished


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder with one sub-folder for each label")
    parser.add_argument("work", type=Path, help="a new folder for the sessions")
    arguments = parser.parse_args()

    data = ml.DataSource.labeled_directories(arguments.photos)
    validation = ml.Validation.split(0.3)
    where = ml.SessionParameters(arguments.work / "logistic", cache=None)
    first = ml.Classifier.train(data, ml.ModelParameters(validation=validation), where).result()
    print(f"logistic regression: validation accuracy {first.validation_metrics.accuracy:.1%}")

    donor = ml.Classifier.restore_training_session(where)
    for sizes in ((32,), (64, 32)):
        parameters = ml.ModelParameters(
            validation=validation,
            algorithm=ml.TransferLearning(classifier=ml.MultilayerPerceptron(layer_sizes=sizes)),
        )
        name = "mlp-" + "-".join(map(str, sizes))
        session = ml.Classifier.make_training_session(
            data, parameters, ml.SessionParameters(arguments.work / name, cache=None)
        )
        session.reuse_extracted_features(donor)
        job = ml.Classifier.resume(session)
        accuracy = job.result().validation_metrics.accuracy
        reused = next(event.metrics["reused"] for event in job.events() if isinstance(event, PhaseFinished))
        print(f"{name}: validation accuracy {accuracy:.1%}, {reused:.0f} features taken over")


if __name__ == "__main__":
    main()
