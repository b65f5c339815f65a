"""Watch a training from another process, and stop it: through the store alone, so from any machine.

    python examples/train_on_s3.py PHOTOS SESSION MODEL &      # or `mlsession train`, anywhere
    python examples/watch_job.py SESSION [--stop-after N]

Prints checkpoints and progress as they come. With --stop-after N it asks for a stop after N checkpoints: the training
saves, ends as paused, and goes on when its own command is run again. Ctrl-C ends the watching only.
"""

from __future__ import annotations

import argparse

import mlsession as ml
from mlsession.errors import JobStopped
from mlsession.events import CheckpointCommitted, Progressed, SessionOpened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", help="where the session is kept")
    parser.add_argument("--stop-after", type=int, help="ask it to stop after so many checkpoints")
    arguments = parser.parse_args()

    job = ml.Job.attach(arguments.session, poll_seconds=0.5)
    for event in job.events():
        match event:
            case SessionOpened():
                print(f"process {event.pid} on {event.host} trains it")
            case Progressed():
                print(f"{event.phase}: {event.item_count} of {event.total_items or event.total or '?'}")
            case CheckpointCommitted():
                print(f"checkpoint {event.checkpoint}: {event.phase} {event.iteration}")
                if arguments.stop_after is not None and len(job.checkpoints) >= arguments.stop_after:
                    job.cancel("enough for today")
    try:
        with job.result() as session:
            print(f"finished, with {len(session.checkpoints)} checkpoints")
    except JobStopped as stopped:
        print(f"stopped: {stopped}")


if __name__ == "__main__":
    main()
