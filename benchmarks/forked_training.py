"""One case of the classifier's crash matrix: processes forked one after the other, killed, and one that finishes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.orphans import end_with_parent
from mlsession.errors import DamagedData
from mlsession.session.log.layout import FOLDERS
from mlsession.store import LocalStore
from mlsession.store.keys import temporary_name
from mlsession.testing.faults import (
    Call,
    Fault,
    FaultPlan,
    FaultyStore,
    Operation,
    Process,
    kill_this_process,
    no_faults,
)
from mlsession.testing.invariants import InvariantBroken, check_session
from mlsession.testing.matrix import Case, SessionWatch, WatchedStore

if TYPE_CHECKING:
    from mlsession.training.parameters import ModelParameters

PARTS = ("train", "test")
"""Folders with photos, by label."""
ITERATIONS = 12
RESULT = ("status", "model_digest", "metrics", "history", "counts")
"""What must be the same, of a session's summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one process ended."""

    killed: bool
    result: str = ""
    """What the training gave, as JSON."""
    calls: tuple[Call, ...] = ()
    """The numbered calls of one that was not killed."""
    checks: int = 0
    """Calls after which the invariants were checked."""
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a case went."""

    case: Case
    reached: bool
    """Whether the first process was killed: its threads may take turns otherwise than in the unbroken run."""
    kills: int
    result: str
    checks: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every case of a run shares."""

    folder: Path
    """With the photos in it; cases get folders of their own there."""
    extractor: str

    def run_case(self, case: Case) -> Report:
        """Two deaths at least, and a process that finishes."""
        training = Training(self, f"case-{case.number}-{case.fault}-{case.seed}")
        first, second, third = case.plans()
        outcomes = [training.run(first), training.run(second)]
        if sum(outcome.killed for outcome in outcomes) < 2:
            outcomes.append(training.run(third))
        outcomes.append(training.run(no_faults))
        training.remove()
        return Report(
            case=case,
            reached=outcomes[0].killed,
            kills=sum(outcome.killed for outcome in outcomes),
            result=outcomes[-1].result,
            checks=sum(outcome.checks for outcome in outcomes),
            wrong=tuple(line for outcome in outcomes for line in outcome.wrong),
        )


class Training:
    """One session, worked on by processes forked from this one, which has imported all and runs one thread."""

    def __init__(self, setting: Setting, name: str) -> None:
        self._setting = setting
        self._folder = setting.folder / name
        self._folder.mkdir()
        self._told = self._folder / "told.jsonl"

    def run(self, plan: FaultPlan) -> Outcome:
        """One process, from its start to its end."""
        self._told.unlink(missing_ok=True)
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            end_with_parent(parent)
            self._be_child(plan)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        lines = [json.loads(line) for line in self._told.read_text().splitlines()] if self._told.exists() else []
        told = {name: value for line in lines for name, value in line.items()}
        wrong = [line["wrong"] for line in lines if "wrong" in line]
        if status not in (0, -signal.SIGKILL):
            wrong.append(f"a process ended with {status}")
        return Outcome(
            killed=status == -signal.SIGKILL,
            result=told.get("result", ""),
            calls=tuple(Call(number=n, operation=Operation(what), key=key) for n, what, key in told.get("calls", ())),
            checks=told.get("checks", 0) + 1,
            wrong=(*wrong, *self._broken()),
        )

    def remove(self) -> None:
        """Deletes all that was written."""
        shutil.rmtree(self._folder)

    @property
    def _session(self) -> LocalStore:
        return LocalStore(self._folder / "session")

    def _broken(self) -> Iterator[str]:
        """What is wrong with all that is stored."""
        try:
            check_session(self._session)
        except (InvariantBroken, DamagedData) as error:
            yield f"{error}"

    def _be_child(self, plan: FaultPlan) -> None:
        try:
            self._train(plan)
            os._exit(0)
        except BaseException as error:
            self._tell(wrong=f"{type(error).__name__}: {error}")
        finally:
            os._exit(1)

    def _train(self, plan: FaultPlan) -> None:
        """What the product does; the only thing that is put in its place is how it opens a folder."""
        import mlsession as ml
        from mlsession.job import run
        from mlsession.training import request
        from mlsession.training.findings.summary import SessionSummary

        watch, session = SessionWatch(self._session), self._session.url

        def die() -> None:
            call, fault = process.met[-1]
            if fault is Fault.CRASH_HALFWAY:
                # What a kill leaves that comes while the store writes a file.
                folder = Path(session if call.key.startswith(FOLDERS) else self._cache, call.key).parent
                folder.mkdir(parents=True, exist_ok=True)
                (folder / temporary_name(call.number)).write_bytes(b"half of it")
            self._tell(checks=watch.changes, **({"wrong": watch.broken[0]} if watch.broken else {}))
            kill_this_process()

        process = Process(plan, on_crash=die)

        def open_store(url: str, options: object = None) -> FaultyStore:
            store = LocalStore(url)
            return FaultyStore(WatchedStore(store, watch) if store.url == session else store, process)

        run.open_store = request.open_store = open_store  # type: ignore[assignment,attr-defined]
        where = ml.SessionParameters(session, checkpoint_interval=1, cache=self._cache, iterations=ITERATIONS)
        train, test = (ml.DataSource.labeled_directories(self._setting.folder / part) for part in PARTS)
        ml.Classifier.train(train, _parameters(self._setting.extractor), where, testing=test).result()
        with ml.Classifier.restore_training_session(where) as stored:
            found = SessionSummary.of(stored).to_json()
        for line in watch.broken:
            self._tell(wrong=line)
        self._tell(
            checks=watch.changes,
            calls=[(call.number, call.operation.value, call.key) for call in process.calls],
            result=json.dumps({name: found[name] for name in RESULT}, sort_keys=True),
        )

    @property
    def _cache(self) -> str:
        return str(self._folder / "cache")

    def _tell(self, **what: object) -> None:
        with self._told.open("a") as file:
            file.write(json.dumps(what) + "\n")


def _parameters(extractor: str) -> ModelParameters:
    from mlsession.extractors.catalog import extractor_named
    from mlsession.testing.tiny_extractor import TinyExtractor
    from mlsession.training.algorithms import TransferLearning
    from mlsession.training.parameters import ModelParameters

    chosen = TinyExtractor() if extractor == "tiny" else extractor_named(extractor)
    return ModelParameters(algorithm=TransferLearning(feature_extractor=chosen))
