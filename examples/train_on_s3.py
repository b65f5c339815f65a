"""Photos, session and model in a bucket; nothing of the training lies on this machine.

    export FSSPEC_S3_KEY=... FSSPEC_S3_SECRET=...          # or whatever your s3fs finds by itself
    python examples/train_on_s3.py s3://bucket/photos s3://bucket/sessions/animals s3://bucket/models/animals.mlmodel

The machine may vanish at any moment: the same line on another one goes on. Any URL of fsspec will do (gs://, abfs://).
"""

from __future__ import annotations

import argparse

import mlsession as ml
from mlsession.events import CheckpointCommitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="URL of a folder with one sub-folder for each label")
    parser.add_argument("session", help="URL of the session")
    parser.add_argument("model", help="URL of the model to write")
    arguments = parser.parse_args()

    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(arguments.photos),
        session=ml.SessionParameters(arguments.session, grace_seconds=25),
    )
    with ml.stop_on_signals(job):  # A spot machine is told to go by SIGTERM: save, and leave.
        for event in job.events():
            if isinstance(event, CheckpointCommitted):
                print(f"saved {event.phase} {event.iteration}: {event.url}")
        classifier = job.result()
    print(f"accuracy on the training photos: {classifier.training_metrics.accuracy:.1%}")
    print(f"wrote {classifier.write(arguments.model).path}")


if __name__ == "__main__":
    main()
