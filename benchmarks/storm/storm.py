"""The storm: sessions that are killed again and again, until enough kills have come together.

for each session, on a folder and a feature cache of its own:
    until it finishes: start the program, kill it at a drawn moment, check the session's invariants
    its result must be that of the run that nobody disturbed
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count

from benchmarks.storm.attempts import Attempt, run_until
from benchmarks.storm.moments import draw
from benchmarks.storm.places import Mirror, Place
from benchmarks.storm.processes import Launcher
from benchmarks.storm.report import Death, Outcome, Recovery, Report
from benchmarks.storm.targets import Target
from benchmarks.storm.watch import Census, Watch
from mlsession.errors import MLSessionError
from mlsession.randomness import keyed_generator
from mlsession.session.log.records import CheckpointEntry
from mlsession.testing.invariants import InvariantBroken, check_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do."""

    target: Target
    place: Place
    kills: int
    jobs: int
    """Sessions at once."""
    seed: int
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """What a put and a get of a child were found to take, if anybody looked."""


class Budget:
    """The kills that are left; shared by all lanes."""

    def __init__(self, kills: int) -> None:
        self._left = kills
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether there was one left, which is the caller's now."""
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            return True

    def give_back(self) -> None:
        """One that hit nobody."""
        with self._lock:
            self._left += 1

    @property
    def left(self) -> int:
        with self._lock:
            return self._left


def run_storm(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Runs all of it. Raises `StormError` where a process fails by itself."""
    began = time.monotonic()
    outcomes: list[Outcome] = []
    budget, numbers = Budget(plan.kills), count()
    with ExitStack() as stack, ThreadPoolExecutor(plan.jobs) as lanes:
        launchers = [
            stack.enter_context(closing(plan.target.launcher(plan.place.environment)))
            for _ in range(min(plan.jobs, plan.kills))
        ]
        alone = _finish_undisturbed(plan, launchers[0])
        tell(f"unbroken: {alone.census.total_calls} store calls, {alone.census.total_seconds:.1f} s")

        def lane(launcher: Launcher) -> list[Outcome]:
            found: list[Outcome] = []
            while budget.left:
                session = Session(plan, alone, launcher, next(numbers))
                found.append(session.run(budget))
                tell(f"session {session.number}: {len(found[-1].deaths)} kills")
            return found

        while budget.left:  # Kills that hit nobody are given back, perhaps when other lanes have ended.
            for found in lanes.map(lane, launchers):
                outcomes.extend(found)
    return Report(
        target=plan.target.name,
        place=plan.place.name,
        seed=plan.seed,
        jobs=plan.jobs,
        interval=plan.target.interval,
        milliseconds=plan.milliseconds,
        census=alone.census,
        outcomes=tuple(outcomes),
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """A run that nobody killed."""

    census: Census
    digest: str


def _finish_undisturbed(plan: Plan, launcher: Launcher) -> Undisturbed:
    attempt = run_until(launcher, plan.target.words(plan.place.session_url("unbroken")), None)
    return Undisturbed(census=attempt.watch.census(attempt.ended), digest=plan.target.digest(attempt.output))


class Session:
    """One session, from its creation to its result."""

    def __init__(self, plan: Plan, alone: Undisturbed, launcher: Launcher, number: int) -> None:
        self.number = number
        self._plan = plan
        self._alone = alone
        self._launcher = launcher
        self._url = plan.place.session_url(f"session-{number:04}")
        self._num_attempts = 0
        self._deaths: list[Death] = []
        self._recoveries: list[Recovery] = []
        self._broken: list[str] = []

    def run(self, budget: Budget) -> Outcome:
        """Kills it while the budget lasts, then lets it finish."""
        plan = self._plan
        with closing(plan.place.open(self._url)) as store:
            mirror = Mirror(store)
            newest: CheckpointEntry | None = None
            died: Attempt | None = None
            while True:
                attempt = self._attempt(newest, budget)
                self._note_recovery(died, attempt.watch)
                newest = self._check(mirror)
                if attempt.killed is None:
                    break
                self._note_death(attempt, newest)
                died = attempt
        digest = plan.target.digest(attempt.output)
        return Outcome(
            session=self.number,
            deaths=tuple(self._deaths),
            recoveries=tuple(self._recoveries),
            is_equal=digest == self._alone.digest,
            broken=tuple(self._broken),
        )

    def _attempt(self, newest: CheckpointEntry | None, budget: Budget) -> Attempt:
        words, census = self._plan.target.words(self._url), self._alone.census
        if not budget.take():
            return run_until(self._launcher, words, None)
        random = keyed_generator(self._plan.seed, "kill", self.number, self._num_attempts)
        self._num_attempts += 1
        moment = draw(random, census, _done(newest, census))
        attempt = run_until(self._launcher, words, moment)
        if attempt.killed is None:
            budget.give_back()
        return attempt

    def _check(self, mirror: Mirror) -> CheckpointEntry | None:
        """The newest commit; notes what is not as it must be."""
        try:
            facts = check_session(mirror.renewed())
        except (InvariantBroken, MLSessionError) as error:
            self._broken.append(f"session {self.number} after kill {len(self._deaths)}: {error}")
            return None
        return facts.checkpoints[-1] if facts and facts.checkpoints else None

    def _note_death(self, attempt: Attempt, newest: CheckpointEntry | None) -> None:
        watch, lost = attempt.watch, 0
        if watch.step is not None:
            phase, iteration = watch.step
            lost = iteration - (newest.iteration if newest is not None and newest.phase == phase else 0)
        self._deaths.append(Death(phase=watch.phase, kind=watch.kind, lost_steps=lost))

    def _note_recovery(self, died: Attempt | None, watch: Watch) -> None:
        if died is None or watch.first_step is None or watch.first_call is None:
            return
        self._recoveries.append(
            Recovery(
                dying=died.seconds_to_die,
                starting=watch.first_call - watch.launched,
                opening=watch.first_step - watch.first_call,
                calls=watch.opening_kinds(),
            )
        )


def _done(newest: CheckpointEntry | None, census: Census) -> dict[str, float]:
    """The share of each phase that is committed."""
    if newest is None or newest.phase not in census.phases:
        return {}
    before = census.phases[: census.phases.index(newest.phase)]
    share = 1.0 if newest.ended else min(newest.iteration / census.steps[newest.phase], 1.0)
    return {**dict.fromkeys(before, 1.0), newest.phase: share}
