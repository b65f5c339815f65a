"""A sample of `benchmarks/kill_storm.py`: real processes, killed with SIGKILL at drawn moments until they finish."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.storm.child import ENDING, OPENING
from benchmarks.storm.moments import draw
from benchmarks.storm.places import Place, local_place, s3_place
from benchmarks.storm.report import Death, Outcome, Report
from benchmarks.storm.storm import Plan, run_storm
from benchmarks.storm.targets import Size, Target, example, forked
from benchmarks.storm.watch import BETWEEN, STARTING, Census, Watch
from mlsession.randomness import keyed_generator
from tests.servers.s3 import S3Server

SMALL = Size(batches=20, photos=(6, 1), iterations=4)
CENSUS = Census(
    phases=("first", "second"),
    calls={OPENING: 10, "first": 40, "second": 4, ENDING: 2},
    kinds={},
    seconds={STARTING: 1.0, OPENING: 1.0, "first": 4.0, "second": 2.0, ENDING: 1.0},
    steps={"first": 20, "second": 1},
    call_seconds=0.01,
)


def survived(target: Target, place: Place, kills: int, seed: int, jobs: int = 2) -> Report:
    """Runs a storm, and holds it to the promises."""
    print(f"seed {seed}")  # noqa: T201
    report = run_storm(Plan(target=target, place=place, kills=kills, jobs=jobs, seed=seed), lambda line: None)
    assert report.is_good, "\n".join(report.lines())
    assert len(report.deaths) == kills
    assert all(outcome.is_equal for outcome in report.outcomes)
    return report


@pytest.mark.sampled(0.4)
def test_the_example_survives_on_a_local_disk(tmp_path: Path) -> None:
    report = survived(example(SMALL), local_place(tmp_path), kills=8, seed=0)
    assert len({death.phase for death in report.deaths}) > 1  # Which, the speed of the machine decides.


@pytest.mark.sampled(0.4)
def test_the_example_survives_on_s3(s3_server: S3Server) -> None:
    with s3_place(s3_server, latency_seconds=0.01) as place:
        survived(example(SMALL), place, kills=2, seed=1, jobs=1)


@pytest.mark.sampled(0.4)
def test_forked_trainings_survive(tmp_path: Path) -> None:
    report = survived(forked(SMALL, tmp_path / "photos"), local_place(tmp_path), kills=3, seed=2, jobs=1)
    assert report.census.phases == ("extracting", "selecting", "training", "evaluating")


class TestMoments:
    def test_every_part_of_a_run_is_hit(self) -> None:
        moments = [draw(keyed_generator(0, "moment", number), CENSUS, {}) for number in range(1_000)]
        from_outside = [moment for moment in moments if moment and moment.call is None]
        assert 100 < len(from_outside) < 200
        assert {moment.seconds < 1.0 for moment in from_outside} == {True, False}
        begins = Counter(moment.phases[:1] for moment in moments if moment and moment.call is not None)
        assert min(begins[(phase,)] for phase in (OPENING, "first", "second", ENDING)) > 50
        anywhere = {moment.call for moment in moments if moment and moment.call is not None and not moment.phases}
        assert len(anywhere) > 50  # Of the 56 calls of a run.

    def test_a_phase_that_is_over_is_left_alone(self) -> None:
        moments = [draw(keyed_generator(0, "moment", number), CENSUS, {"first": 1.0}) for number in range(500)]
        assert None in moments
        assert not any(moment.phases[:1] == ("first",) for moment in moments if moment)

    def test_of_a_phase_half_done_only_the_rest_is_hit(self) -> None:
        moments = [draw(keyed_generator(0, "moment", number), CENSUS, {"first": 0.5}) for number in range(500)]
        calls = {moment.call for moment in moments if moment and moment.phases[:1] == ("first",)}
        assert max(call for call in calls if call is not None) <= 20

    def test_the_same_seed_draws_the_same(self) -> None:
        first, second = (draw(keyed_generator(3, "moment", 1), CENSUS, {}) for _ in range(2))
        assert first == second


def test_a_watch_knows_where_a_process_is() -> None:
    watch = Watch(launched=10.0)
    places = []
    for line in (
        "10.1 begin",
        "11.0 phase opening",
        "11.0 call 1 list:log",
        "11.2 done 1",
        "11.2 phase first",
        "11.3 call 0 put:heartbeat",
        "11.5 step first 1",
        "11.5 call 2 put:blobs",
        "11.9 done 2",
        "12.0 step first 2",
        "12.1 phase ending",
    ):
        watch.hear(line)
        places.append((watch.phase, watch.kind))
    assert places[1:5] == [(OPENING, BETWEEN), (OPENING, "list:log"), (OPENING, BETWEEN), ("first", BETWEEN)]
    assert places[7] == ("first", "put:blobs")
    assert places[-1] == (ENDING, "put:heartbeat")
    assert (watch.step, watch.first_call, watch.first_step) == (("first", 2), 11.0, 11.5)
    census = watch.census(ended=13.0)
    assert census.calls == {OPENING: 1, "first": 1, ENDING: 0}
    assert census.steps == {"first": 2}
    assert census.seconds == pytest.approx({STARTING: 1.0, OPENING: 0.2, "first": 0.9, ENDING: 0.9})
    assert census.call_seconds == pytest.approx(0.3)


def test_whatever_is_wrong_is_reported() -> None:
    fine = Outcome(
        session=0, deaths=(Death(phase="first", kind=BETWEEN, lost_steps=10),), recoveries=(), is_equal=True, broken=()
    )
    report = Report(
        target="example",
        place="local",
        seed=0,
        jobs=1,
        interval=5,
        milliseconds={},
        census=CENSUS,
        outcomes=(fine,),
        seconds=1.0,
    )
    assert report.is_good
    for wrong in (
        replace(fine, is_equal=False),
        replace(fine, broken=("the log has gaps",)),
        replace(fine, deaths=(Death(phase="first", kind=BETWEEN, lost_steps=11),)),
    ):
        assert not replace(report, outcomes=(fine, wrong)).is_good
