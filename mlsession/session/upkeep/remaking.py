"""Making damaged blobs again: what a phase did is done once more, and put back if it comes out the same to the bit.

A blob's key holds its hash, so nobody can tell what is put back from what was there, and nothing else need change: no
record is written, and all that was built upon the blob goes on resting on it. For blob of a commit

    base        the commit of the same run before it whose state is whole, or the run's beginning
    steps       those from `base` up to the commit, by the phase's own runner, on the past as of `base`
    put back    the rows and the state of these steps, if they are wanted and have the hash

So of an extraction only what lies between two commits is extracted again, not all that came after it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from mlsession.errors import DamagedData, StoreError, UsageError
from mlsession.session.log.blobs import encode_arrays, encode_state, read_blob
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_of
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.log.timeline import Timeline, entry_of
from mlsession.session.past import StoredPast
from mlsession.session.phase import Arrays, PhaseRunner, Step, Task
from mlsession.session.upkeep.removal import rows_as_of
from mlsession.session.writer import joined_rows
from mlsession.store.protocol import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """What came of it."""

    keys: tuple[str, ...] = ()
    """Of blobs that are whole again."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By key why a blob could not be made again."""


class Remaker:
    """Makes blobs of a session again, by its task; for the session's writer."""

    def __init__(self, store: Store, timeline: Timeline, live: Collection[CheckpointEntry], task: Task[object]) -> None:
        self._store = store
        self._timeline = timeline
        self._live = live
        self._task = task

    def remake(self, keys: Collection[str], damaged: Collection[str]) -> Remade:
        """Tries each of the blobs `keys`, in the order of the log: what comes later may need what came before.

        `damaged` are all that are damaged, `keys` among them: nothing is begun from these. Raises `StoreError`.
        """
        left, reasons = set(damaged), dict[str, str]()
        for number in sorted({record_of(key) or 0 for key in keys}):
            wanted = {key for key in keys if record_of(key) == number}
            try:
                done = self._remake_commit(number, wanted, left)
                reasons |= dict.fromkeys(wanted - done, "it comes out otherwise today: the data or the numerics differ")
                left -= done
            except (DamagedData, UsageError) as error:
                reasons |= dict.fromkeys(wanted, f"it cannot be made again: {error}")
        return Remade(keys=tuple(sorted(set(keys) - left)), reasons=reasons)

    def _remake_commit(self, number: int, wanted: Collection[str], damaged: Collection[str]) -> frozenset[str]:
        """The keys that are whole again. Raises `DamagedData` or `UsageError` where the steps cannot be done."""
        commits = self._commits_of_run(number)
        target = next(entry for entry in commits if entry.number == number)
        if target.shards and not {ref.key for ref in target.adds} & set(wanted):
            raise UsageError("several processes shared this state, and only they together make it again")
        if target.inputs != self._task.inputs(target.phase):
            raise UsageError("it is of the data that the session worked on before")
        before = [entry for entry in commits if entry.number < number]
        kept = {entry.number for entry in self._live}
        whole = [e for e in before if e.number in kept and not any(ref.key in damaged for ref in e.states)]
        base = whole[-1] if whole else None
        boundaries = [entry.iteration for entry in before if base is None or entry.number > base.number]
        with self._steps(base, target) as steps:
            step, adds = _run_to(steps, boundaries, target.iteration)
            made = [(target.state, encode_state(step.snapshot()))]
            rows = joined_rows(adds)
            if len(rows) == len(target.adds):
                made += [(ref, encode_arrays(arrays)) for ref, arrays in zip(target.adds, rows, strict=True)]
            return frozenset(ref.key for ref, data in made if ref.key in wanted and self._put_back(ref, data))

    def _commits_of_run(self, number: int) -> list[CheckpointEntry]:
        """The commits of the run of commit `number`, in order: those that are left, and those that have left rows."""
        own = entry_of(Journal(self._store).read(number), {})
        later = [e for e in self._live if e.phase == own.phase and e.run <= number <= e.number]
        if not later:
            raise DamagedData(own.state.key, "no checkpoint that is left is of its run")
        run, last = later[-1].run, later[-1]
        present = self._timeline.newest.get(own.phase)
        if present is not None and present.run == run:
            refs = Journal(self._store).additive(self._timeline, own.phase)
        else:
            refs = rows_as_of(self._store, last)
        known = {entry.number: entry for entry in self._live if (entry.phase, entry.run) == (own.phase, run)}
        for each in {record_of(ref.key) or 0 for ref in refs} - known.keys():
            known[each] = replace(entry_of(Journal(self._store).read(each), {}), run=run)
        return [known[each] for each in sorted(known)]

    @contextmanager
    def _steps(self, base: CheckpointEntry | None, target: CheckpointEntry) -> Iterator[Iterator[Step]]:
        """The steps after `base`, or from the beginning of the run of `target`."""
        phase = target.phase
        number = Journal(self._store).read(target.run).parent if base is None else base.number
        if number is None:
            raise DamagedData(target.state.key, "nothing comes before its run")
        past = StoredPast(self._store, _timeline_at(self._store, number))
        runner: PhaseRunner = self._task.runner(phase, past)
        steps = runner.run(None if base is None else past.state(phase))
        try:
            yield steps
        finally:
            if isinstance(steps, Generator):
                steps.close()

    def _put_back(self, ref: BlobRef, data: bytes) -> bool:
        if sha256(data) != ref.sha256:
            return False
        self._store.put(ref.key, data)
        try:
            read_blob(self._store, ref)
        except DamagedData as damage:
            raise StoreError(f"{self._store.url} does not give back what it was given: {damage}", ref.key) from damage
        return True


def _timeline_at(store: Store, number: int) -> Timeline:
    state = Journal(store).load(number)
    if state is None or state.timeline.tip.number != number:
        return Journal(store).load_unindexed(number)
    return state.timeline


def _run_to(steps: Iterator[Step], boundaries: list[int], last: int) -> tuple[Step, tuple[Arrays, ...]]:
    """The step of iteration `last`, and the rows since the newest of the `boundaries` before it."""
    held: list[Arrays] = []
    begin = boundaries[-1] if boundaries else -1
    for step in steps:
        if step.iteration > begin and step.adds:
            held.append(step.adds)
        if step.iteration >= last:
            if step.iteration == last:
                return step, tuple(held)
            break
    raise UsageError("the phase takes other steps today")
