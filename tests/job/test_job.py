from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlsession.errors import Cancelled, Interrupted, SessionTakenOver, StoreFull
from mlsession.events import CheckpointCommitted, Event, JobEnded, JobFinished, PhaseStarted, Progressed
from mlsession.job.job import Job, JobContext
from mlsession.session.stop import StopKind
from mlsession.testing.clock import START, FakeClock

SECONDS = 60
"""More than anything here takes; a test that waits so long has failed."""


def progressed(iteration: int) -> Progressed:
    return Progressed(phase="p", iteration=iteration, total=None, item_count=0, total_items=None, elapsed=0.0)


def committed(number: int) -> CheckpointCommitted:
    return CheckpointCommitted(checkpoint=number, phase="p", iteration=number, url="", seconds=0, size_bytes=0)


def waits_for_stop(context: JobContext) -> str:
    """Work that goes on until it is asked to stop, as the engine does."""
    while (request := context.stop.request) is None:
        threading.Event().wait(0.001)
    raise (Interrupted if request.kind is StopKind.INTERRUPTED else Cancelled)(request.reason)


def failing(error: BaseException) -> Callable[[JobContext], str]:
    def work(context: JobContext) -> str:
        raise error

    return work


def test_a_job_gives_its_result() -> None:
    job = Job(lambda context: 42, FakeClock())
    assert job.result(SECONDS) == 42
    assert job.exception() is None
    assert job.done()
    assert not job.is_cancelled
    assert job.start_date == START
    assert [type(event) for event in job.events()] == [JobFinished]


def test_everything_can_be_read_while_it_runs() -> None:
    go_on, reached = threading.Event(), threading.Event()

    def work(context: JobContext) -> None:
        context.emit(PhaseStarted(phase="walking", iteration=0))
        context.emit(progressed(5))
        context.emit(committed(2))
        reached.set()
        assert go_on.wait(SECONDS)

    job = Job(work)
    assert reached.wait(SECONDS)
    assert not job.done()
    assert job.phase == "walking"
    assert job.progress is not None
    assert job.progress.iteration == 5
    assert [item.number for item in job.checkpoints] == [2]
    with pytest.raises(TimeoutError):
        job.result(0)
    with pytest.raises(TimeoutError):
        job.exception(0)
    go_on.set()
    assert job.result(SECONDS) is None


def test_events_are_replayed_to_whoever_comes_late() -> None:
    def work(context: JobContext) -> None:
        for number in range(1, 6):
            context.emit(progressed(number))

    job = Job(work)
    job.result(SECONDS)
    for _ in range(2):
        assert [event.number for event in job.events()] == [1, 2, 3, 4, 5, 6]
    assert [type(event) for event in job.events(after=4)] == [Progressed, JobFinished]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Cancelled("enough"), "cancelled"),
        (Interrupted("signal SIGTERM"), "interrupted"),
        (SessionTakenOver("another"), "taken_over"),
        (StoreFull("full"), "failed"),
        (ValueError("wrong"), "failed"),
        (KeyboardInterrupt("wrong"), "failed"),
    ],
)
def test_how_a_job_ended_without_a_result(error: BaseException, outcome: str) -> None:
    job = Job(failing(error))
    with pytest.raises(type(error)) as raised:
        job.result(SECONDS)
    assert raised.value is error
    assert job.exception(SECONDS) is error
    (event,) = job.events()
    assert isinstance(event, JobEnded)
    assert (event.outcome, event.reason) == (outcome, str(error))


def test_cancelling_pauses_and_is_idempotent() -> None:
    job = Job(waits_for_stop)
    states = [job.is_cancelled]
    job.cancel()
    job.cancel("again")
    job.interrupt("later")
    assert [*states, job.is_cancelled] == [False, True]
    with pytest.raises(Cancelled, match="cancelled by the caller"):
        job.result(SECONDS)
    job.cancel()


def test_interrupting_says_so() -> None:
    job = Job(waits_for_stop)
    job.interrupt("signal SIGTERM")
    with pytest.raises(Interrupted, match="signal SIGTERM"):
        job.result(SECONDS)


def test_awaiting_a_job() -> None:
    async def result() -> int:
        return await Job(lambda context: 42)

    assert asyncio.run(result()) == 42


def test_awaiting_a_job_that_fails() -> None:
    async def result() -> str:
        return await Job(failing(StoreFull("full")))

    with pytest.raises(StoreFull):
        asyncio.run(result())


def test_giving_up_awaiting_does_not_end_the_job() -> None:
    job = Job(waits_for_stop)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.ensure_future(_awaiting(job)), 0.01)

    asyncio.run(impatient())
    assert not job.done()
    job.cancel()
    assert isinstance(job.exception(SECONDS), Cancelled)


async def _awaiting(job: Job[str]) -> str:
    return await job


def test_following_a_job_asynchronously() -> None:
    async def follow() -> list[type[Event]]:
        job = Job(lambda context: context.emit(progressed(1)))
        kinds = [type(event) async for event in job.events()]
        await job
        return kinds

    assert asyncio.run(follow()) == [Progressed, JobFinished]


def test_event_callbacks_get_every_event_and_hold_up_nobody() -> None:
    go_on, all_seen = threading.Event(), threading.Event()
    seen: list[int] = []

    def slow(event: Event) -> None:
        assert go_on.wait(SECONDS)
        seen.append(event.number)
        if isinstance(event, JobFinished):
            all_seen.set()

    def work(context: JobContext) -> int:
        for number in range(100):
            context.emit(progressed(number))
        return 1

    job = Job(work)
    job.add_event_callback(slow)
    assert job.result(SECONDS) == 1
    assert seen == []
    go_on.set()
    assert all_seen.wait(SECONDS)
    assert seen == list(range(1, 102))


def test_done_callbacks_are_called_once_with_the_job() -> None:
    go_on = threading.Event()
    job = Job(lambda context: go_on.wait(SECONDS))
    called: list[Job[bool]] = []
    both = threading.Barrier(2)

    def early(ended: Job[bool]) -> None:
        # Whoever is told that the job is done can read its result and all its events without waiting.
        assert ended.result(0)
        assert [type(event) for event in ended.events()] == [JobFinished]
        called.append(ended)
        both.wait(SECONDS)

    job.add_done_callback(early)
    assert called == []
    go_on.set()
    both.wait(SECONDS)
    job.add_done_callback(called.append)
    assert called == [job, job]


def test_no_update_is_lost_when_threads_emit_at_once() -> None:
    """The saver, the heartbeat and the phase emit at the same time."""

    def work(context: JobContext) -> None:
        def emit(number: int) -> None:
            context.emit(committed(number) if number % 2 else progressed(number))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(emit, range(2_000)))

    job = Job(work)
    job.result(SECONDS)
    assert sorted(item.number for item in job.checkpoints) == list(range(1, 2_000, 2))
    assert [event.number for event in job.events()] == list(range(1, 2_002))


def test_a_job_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    job = Job(lambda context: 1)
    job.result(SECONDS)
    for thread in set(threading.enumerate()) - before:
        thread.join(SECONDS)
    assert set(threading.enumerate()) <= before


def test_a_job_shows_itself_in_a_line() -> None:
    told, go_on = threading.Event(), threading.Event()

    def work(context: JobContext) -> str:
        context.emit(PhaseStarted(phase="p", iteration=0))
        context.emit(progressed(3))
        told.set()
        assert go_on.wait(SECONDS)
        return waits_for_stop(context)

    job = Job(work, FakeClock())
    assert told.wait(SECONDS)
    assert repr(job) == "<Job: p, 3, running>"
    job.cancel("enough")
    assert repr(job) == "<Job: p, 3, stopping>"
    go_on.set()
    assert isinstance(job.exception(SECONDS), Cancelled)
    assert repr(job) == "<Job: p, 3, Cancelled: enough>"
    assert repr(Job(failing(StoreFull("no space")), FakeClock())).startswith("<Job: initialized, ")
