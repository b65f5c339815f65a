"""Signals at every moment: a torch-free task at all of them, and `mlsession train` in each phase.

    python benchmarks/signal_matrix.py [--rounds N]

Every signal (SIGTERM, SIGINT, SIGUSR1, SIGHUP), alone, repeated by an impatient system, and with one and two Ctrl-C to
follow; while a session is made and opened, in the work of each phase, and during a save. Each case must end with exit
code 75 and a whole session, and go on to the unbroken end. Needs a system that forks.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from mlsession.job.signals import SIGNALS
from mlsession.testing.invariants import check_session
from tests.recovery.nursery import Nursery
from tests.recovery.signalling import cases, check_case, unbroken
from tests.recovery.trainings import PHASES, Training, inside, prepared_photos

ROUNDS = 1


def main(rounds: int = ROUNDS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(_of_a_task(Path(folder), rounds))
        print(_of_the_command(Path(folder), rounds))


def _of_a_task(folder: Path, rounds: int) -> str:
    late: Counter[int] = Counter()
    with Nursery(folder) as walkers:
        expected = unbroken(walkers, folder)
        for number, case in enumerate(itertools.chain.from_iterable(itertools.repeat(cases(), rounds))):
            late[check_case(walkers, folder / f"walk-{number}", case, expected)] += 1
    waited = ", ".join(f"{count} after {steps} more" for steps, count in sorted(late.items()))
    return (
        f"torch-free task: {sum(late.values())} cases, all went on to the unbroken end; steps until the stop: {waited}"
    )


def _of_the_command(folder: Path, rounds: int) -> str:
    photos, stops = prepared_photos(folder / "photos"), 0
    with Nursery(folder, "everything") as trainers:
        whole = Training(trainers, photos, folder / "train").finish()
        for number, sent in itertools.product(range(rounds), SIGNALS):
            training = Training(trainers, photos, folder / f"train-{number}-{sent.name}")
            for phase in PHASES:
                child = training.start()
                child.until(partial(inside, training.store, phase))
                child.send(sent)
                code = child.wait()
                if code != 75:
                    raise SystemExit(f"{sent.name} while {phase}: exit code {code}: {child.err}")
                check_session(training.store)
                stops += 1
            if training.finish()["model_digest"] != whole["model_digest"]:
                raise SystemExit(f"{sent.name}: another model than that of the unbroken training")
    return f"mlsession train: {stops} stops, in each phase by each signal; {rounds * len(SIGNALS)} equal models"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    main(parser.parse_args().rounds)
