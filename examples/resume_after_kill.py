"""Kill a training again and again; the model comes out the same, bit for bit.

    python examples/resume_after_kill.py PHOTOS WORK_FOLDER [--kills N]

Trains once without a disturbance. Then the same training, in another session and with an empty cache of its own, is
killed with SIGKILL whenever it has committed a new checkpoint, and started again, until one attempt is left alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import mlsession as ml
from mlsession.errors import SessionNotFound


def train(photos: str, session: Path) -> ml.Classifier:
    """The training; the same call starts it and resumes it."""
    where = ml.SessionParameters(session, checkpoint_interval=1, cache=None)
    return ml.Classifier.train(ml.DataSource.labeled_directories(photos), session=where).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="a folder with one sub-folder for each label")
    parser.add_argument("work", type=Path, help="a new folder for the sessions")
    parser.add_argument("--kills", type=int, default=5, help="how often to kill")
    parser.add_argument("--attempt", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attempt:
        train(arguments.photos, arguments.work / "killed")
        return

    unbroken = train(arguments.photos, arguments.work / "unbroken")
    print(f"unbroken: {unbroken.model_digest}")

    session = arguments.work / "killed"
    command = [sys.executable, __file__, arguments.photos, str(arguments.work), "--attempt"]
    for kill in range(1, arguments.kills + 1):
        before = where_it_stands(session)
        attempt = subprocess.Popen(command, stderr=subprocess.PIPE)
        while attempt.poll() is None and where_it_stands(session) == before:
            time.sleep(0.02)
        attempt.kill()
        attempt.communicate()
        print(f"kill {kill}: {where_it_stands(session)}")
    resumed = train(arguments.photos, session)
    print(f"killed {arguments.kills} times: {resumed.model_digest}")
    sys.exit(0 if resumed.model_digest == unbroken.model_digest else "the models differ")


def where_it_stands(session: Path) -> str:
    """What is safe in the store."""
    try:
        with ml.Classifier.restore_training_session(ml.SessionParameters(session)) as stored:
            return f"{stored.phase} {stored.iteration}"
    except SessionNotFound:
        return "no session yet"


if __name__ == "__main__":
    main()
