"""Repairing a session: mend what is damaged where that can be done, and take off the list what is lost.

    index                   made anew, out of the records
    rows, needed states     made again by the task, and put back under their keys; see `remaking`
    other states            their checkpoints are removed
    records                 opening the session goes back before them, as it always does

What cannot be mended is left as it is: the next run goes back before it when it needs it, and not earlier. A model that
can be used stays usable whatever else is damaged.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mlsession.errors import DamagedData, UsageError
from mlsession.session.checkpoint import checkpoint_of
from mlsession.session.identity import Identity
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.opening import require_session
from mlsession.session.phase import Task
from mlsession.session.upkeep.integrity import Cure, Repair, Verification
from mlsession.session.upkeep.maintenance import Maintenance
from mlsession.session.upkeep.remaking import Remade, Remaker
from mlsession.session.upkeep.removal import Remover, leftover_keys
from mlsession.session.upkeep.verification import resumed_from, verify_session
from mlsession.session.writer import SessionWriter
from mlsession.store.bulk import delete_all


def repair_session(work: Maintenance, task: Task[object] | None, without_task: str) -> Repair:
    """Verifies a session deeply and mends what it can; see the module. Writes nothing where nothing is damaged.

    Without a `task` nothing is made again, and `without_task` says why. Raises `UsageError` for the task
    of another session, `SessionInUse`, `SessionTakenOver`, `NewerFormat`, `DamagedData` where the session cannot be
    read, and `StoreError`; the same call goes on after each of them.
    """
    known = require_session(work.store)
    name = Identity.from_record(known.timeline.opened).task
    if task is not None and task.name != name:
        raise UsageError(f"{work.store.url} is a session of task {name!r}, not {task.name!r}; give its own task")
    if (found := verify_session(work.store, known, deep=True)).is_whole:
        return Repair(resumes_from=found.resumes_from)
    with work.opened(known) as (writer, state):
        if known.damaged or state.end != known.end:
            opened = require_session(work.store)
            found = verify_session(work.store, opened, deep=True)
        delete_all(work.store, leftover_keys(work.store, writer.timeline))
        reindexed = _is_cured(found, Cure.REINDEX) and _reindex(writer)
        live = Journal(work.store).checkpoints(writer.timeline)
        remade = _remade(work, writer, live, found, task, without_task)
        gone = _remove(work, writer, live, found)
        removed = {entry.number for entry in gone}
        left = tuple(
            replace(problem, reason=f"{problem.reason}; {remade.reasons[problem.key]}")
            if problem.key in remade.reasons
            else problem
            for problem in found.problems
            if problem.key not in remade.keys
            and not (problem.cure is Cure.REINDEX and reindexed)
            and not (problem.cure is Cure.REMOVE and problem.checkpoint in removed)
        )
        resumes_from = resumed_from(work.store, writer.timeline, writer.end, (problem.key for problem in left))
    return Repair(
        remade=remade.keys,
        reindexed=reindexed,
        removed=tuple(checkpoint_of(entry, work.store.url) for entry in gone),
        went_back=any(damage.key.startswith("log/") for damage in known.damaged),
        left=left,
        resumes_from=None if resumes_from is None else checkpoint_of(resumes_from, work.store.url),
    )


def _is_cured(found: Verification, cure: Cure) -> bool:
    return any(problem.cure is cure for problem in found.problems)


def _reindex(writer: SessionWriter) -> bool:
    try:
        writer.reindex()
    except DamagedData:
        return False  # The records do not say all of it any more; the run that needs the rest goes back.
    return True


def _remade(
    work: Maintenance,
    writer: SessionWriter,
    live: Collection[CheckpointEntry],
    found: Verification,
    task: Task[object] | None,
    without_task: str,
) -> Remade:
    keys = [problem.key for problem in found.problems if problem.cure is Cure.REMAKE]
    if task is None:
        return Remade(reasons=dict.fromkeys(keys, without_task))
    damaged = [problem.key for problem in found.problems]
    return Remaker(work.store, writer.timeline, live, task).remake(keys, damaged)


def _remove(
    work: Maintenance, writer: SessionWriter, live: tuple[CheckpointEntry, ...], found: Verification
) -> tuple[CheckpointEntry, ...]:
    lost = {problem.checkpoint for problem in found.problems if problem.cure is Cure.REMOVE}
    remover, numbers = Remover(work.store, writer), set[int]()
    gone = remover.plan(live, (number for number in lost if number is not None))
    try:
        while remover.is_busy:
            numbers |= set(remover.step())
    except DamagedData:
        pass  # Of an index that could not be made anew, so that no record fits that would sum it up.
    return tuple(entry for entry in gone if entry.number in numbers)
