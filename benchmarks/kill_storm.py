"""Kills real trainings with SIGKILL at seeded random moments, again and again, and compares what comes out in the end.

    python benchmarks/kill_storm.py --target example --place local --kills 800 --seed 0
    python benchmarks/kill_storm.py --target forked  --place s3 --kills 150 --jobs 2
    python benchmarks/kill_storm.py --target command --place local --kills 50

Targets: `example` is examples/monte_carlo.py, in a new process each time; `command` is the whole command line of
`mlsession train` on photos of three kinds of fruit; `forked` is the same in forks of a process that has imported
everything, so that kills hit work. Places: a local folder, or a real S3-protocol server on loopback with added latency,
whose true milliseconds a call are measured and told. Ends with exit code 1 if a result differs from the unbroken run's,
an invariant does not hold, or a kill costs more than the policy promises.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.storm.places import Place, calibrated, local_place, s3_place
from benchmarks.storm.storm import Plan, run_storm
from benchmarks.storm.targets import Size, Target, command, example, forked
from tests.servers.s3 import S3Server

TARGETS: dict[str, Callable[[Size, Path], Target]] = {
    "example": lambda size, folder: example(size),
    "forked": forked,
    "command": command,
}


@contextmanager
def opened_place(name: str, folder: Path, latency_seconds: float) -> Iterator[tuple[Place, Mapping[str, float]]]:
    """A place of its own for one storm, and the milliseconds that its calls take."""
    if name == "local":
        yield local_place(folder), {}
        return
    with S3Server() as server, s3_place(server, latency_seconds) as place:
        yield place, calibrated(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=tuple(TARGETS), default="example")
    parser.add_argument("--place", choices=("local", "s3"), default="local")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="sessions at once")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds added to each request to the S3 server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, as JSON")
    given = parser.parse_args()

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="kill-storm-") as scratch:
        target = TARGETS[given.target](Size(), Path(scratch) / "photos")
        with opened_place(given.place, Path(scratch) / "sessions", given.latency) as (place, milliseconds):
            plan = Plan(
                target=target,
                place=place,
                kills=given.kills,
                jobs=given.jobs,
                seed=given.seed,
                milliseconds=milliseconds,
            )
            report = run_storm(plan, tell)
    print("\n".join(report.lines()))
    if given.json is not None:
        given.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if report.is_good else 1)


if __name__ == "__main__":
    main()
