"""From a folder of labelled photos to an app: train, look at the result, write the Core ML file.

    python examples/train_folder.py TRAIN_FOLDER TEST_FOLDER MODEL.mlmodel

Each folder holds one sub-folder for each label. The session lies beside the model file: run the line again after a
kill, and it goes on; run it again when all is done, and the answer comes at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mlsession as ml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="labelled photos to train on")
    parser.add_argument("test", help="labelled photos to test on, never trained on")
    parser.add_argument("model", type=Path, help="the file to write: .mlmodel, .mlpackage or .safetensors")
    arguments = parser.parse_args()

    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(arguments.train),
        session=ml.SessionParameters(arguments.model.with_suffix(".mlsession")),
        testing=ml.DataSource.labeled_directories(arguments.test),
    )
    classifier = job.result()

    for name, metrics in (
        ("training", classifier.training_metrics),
        ("validation", classifier.validation_metrics),
        ("test", classifier.testing_metrics),
    ):
        # Few photos leave none to validate on: then the metrics say why they are not valid.
        print(f"{name}: {metrics.accuracy:.1%} of {metrics.count}" if metrics.is_valid else f"{name}: {metrics.error}")
    print(classifier.testing_metrics.precision_recall.to_string(index=False))

    report = classifier.write(arguments.model, ml.ModelMetadata(author="Me", license="MIT"))
    print(f"wrote {report.path}, whose answers differ by {report.max_difference:.1e} at most")


if __name__ == "__main__":
    main()
