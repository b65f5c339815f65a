"""Train a finished session on: 5 iterations and 5 more are the same as 10, bit for bit.

python examples/extend.py PHOTOS WORK_FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mlsession as ml


def train(photos: str, session: Path, iterations: int) -> ml.Classifier:
    """Starts, resumes or extends: the same call."""
    where = ml.SessionParameters(session, iterations=iterations)
    return ml.Classifier.train(ml.DataSource.labeled_directories(photos), session=where).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder with one sub-folder for each label")
    parser.add_argument("work", type=Path, help="a new folder for the sessions")
    arguments = parser.parse_args()

    first = train(arguments.photos, arguments.work / "extended", 5)
    print(f"5 iterations:      {first.model_digest}")
    extended = train(arguments.photos, arguments.work / "extended", 10)
    print(f"5 iterations more: {extended.model_digest}")
    # The features come out of the cache that both sessions share.
    at_once = train(arguments.photos, arguments.work / "at-once", 10)
    print(f"10 at once:        {at_once.model_digest}")
    with ml.Classifier.restore_training_session(ml.SessionParameters(arguments.work / "extended")) as session:
        print("loss by iteration:", *(f"{loss:.3f}" for loss in session.history["loss"]))
    if extended.model_digest != at_once.model_digest:
        raise SystemExit("the models differ")


if __name__ == "__main__":
    main()
