"""A training by several processes of this machine: this one prepares it, starts them, and says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from mlsession.clock import Clock
from mlsession.data.source import DataSource
from mlsession.data.sources.datasets import ByDataset
from mlsession.devices.accelerators import Device, num_gpus
from mlsession.devices.choice import device_count
from mlsession.devices.failures import failure_from_json
from mlsession.errors import (
    Cancelled,
    InternalError,
    Interrupted,
    InvalidParameter,
    JobStopped,
    MLSessionError,
    SessionFailed,
    StoreError,
    WorkerLost,
)
from mlsession.events import Event, SessionOpened
from mlsession.extractors.catalog import FeatureExtractorSpec, extractor_from_json, weights_place
from mlsession.extractors.custom.options import must_be_given
from mlsession.extractors.running.runtime import recorded_device
from mlsession.finetuning.options import FineTune
from mlsession.job.context import JobContext
from mlsession.job.launch import Ended, run_workers
from mlsession.job.run import drive_options, surroundings
from mlsession.phases.recorded import EXTRACTOR
from mlsession.session.attempt import advance_session, finished_result
from mlsession.session.identity import opened_attachments
from mlsession.session.log.blobs import as_written
from mlsession.session.log.journal import LogState
from mlsession.session.log.members import as_object
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session, require_session
from mlsession.session.stop import HANDED_OVER, StopRequest, request_stop
from mlsession.store.buckets.credentials import FreshOptions
from mlsession.store.location import redact, schemes_of
from mlsession.store.protocol import Store
from mlsession.training.outcome import Trained
from mlsession.training.parameters import EXTRACTOR_WEIGHTS
from mlsession.training.prepare import prepared
from mlsession.training.request import Request
from mlsession.training.task import ImageClassification

_OWN_MEMORY = ("memory",)


def num_workers(request: Request, device: Device) -> int:
    """How many processes are to train, on this machine; 1: this one. `device` is what the session runs networks on.

    Raises `InvalidParameter` for several machines, which one process cannot start, and for more processes than GPUs.
    """
    chosen = request.session
    if chosen.num_nodes > 1:
        line = "torchrun --nnodes=... --nproc-per-node=... --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 -m mlsession"
        reason = (
            "one process cannot start others on other machines: make the session with --create-only (in Python "
            f"make_training_session), then run on each machine: {line} worker {redact(request.place.url)}; "
            "examples/cluster has scripts for SLURM and Kubernetes"
        )
        raise InvalidParameter("num_nodes", chosen.num_nodes, reason)
    algorithm = request.parameters.algorithm
    if chosen.strategy == "fsdp" and chosen.devices != 1 and isinstance(algorithm, FineTune) and algorithm.compile:
        reason = "does not go with compile=True; use 'ddp', or leave one of them out"
        raise InvalidParameter("strategy", chosen.strategy, reason)
    return device_count(chosen.devices, None if device == "cpu" else num_gpus(device))


def driven(
    task: ImageClassification, request: Request, opening: OpenOptions, known: LogState, context: JobContext
) -> Trained:
    """The task's result, brought about in this thread, or by several processes where the request asks for them.

    Raises what `advance_session` and `trained_by_workers` raise.
    """
    with as_written("the session's numerics"):
        device = recorded_device(as_object(task.numerics[EXTRACTOR]))
    count = num_workers(request, device)
    if count > 1:
        return trained_by_workers(task, request, opening, known, context, count)
    around = surroundings(request.place, request.session, context)
    return advance_session(task, around, opening, drive_options(request.session), known)


def prepare_for_workers(request: Request, context: JobContext) -> None:
    """Makes the session, or writes down in it what is asked for now where that is something else, or taken over.

    Raises what preparing a training raises, and `SessionInUse`.
    """
    with prepared(request, context) as (_, opening, known):
        opened = known.timeline.opened
        is_there = (opened.body.get("settings"), opened_attachments(opened)) == (opening.settings, opening.attachments)
        if is_there and not opening.take_over:
            return
        with closing(surroundings(request.place, request.session, context).open_patient_store()) as store:
            hand_over(store, opening, known, context, "prepared for worker processes")


def trained_by_workers(
    task: ImageClassification,
    request: Request,
    opening: OpenOptions,
    known: LogState,
    context: JobContext,
    count: int,
) -> Trained:
    """The task's result, which `count` worker processes bring about; at once where it is there already.

    The session is opened here first, and closed as paused: so all that the workers need is in its log, and whoever has
    it open is found out here. Raises what `advance_session` raises; `WorkerLost` where the workers died again and
    again.
    """
    access = _access(request)
    around = surroundings(request.place, request.session, context)
    with closing(around.open_patient_store()) as store:
        if (done := finished_result(task, store, known)) is not None:
            return done[0]
        handed_over = hand_over(store, opening, known, context, f"{HANDED_OVER} {count} worker processes")
        parameters = replace(request.session, url=request.place.url, cache=_cache(request))

        def pass_on(asked: StopRequest) -> None:
            try:
                timeline = require_session(store).timeline
                if timeline.opened.number > handed_over and timeline.closed is None:
                    request_stop(store, timeline.opened.number, asked.reason)
            except (StoreError, JobStopped):
                return  # A store that is away for a moment heeds our own stop; it is asked again soon.

        ended = run_workers(parameters, count, access, context, pass_on)
        state = require_session(store)
        if (done := finished_result(task, store, state)) is not None:
            return done[0]
        error = how_it_ended(state, handed_over, ended, context.stop.request, request.place.url)
        if (asked := context.stop.request) is not None and asked.cause is not None:
            close_as_failed(store, opening, state, handed_over, asked, context.clock)
        raise error


def hand_over(store: Store, opening: OpenOptions, known: LogState, context: JobContext, reason: str) -> int:
    """Writes down what an attempt is asked for, for whoever opens the session next; the number of the opening."""

    def emit(event: Event) -> None:
        if not isinstance(event, SessionOpened):  # The worker says so.
            context.emit(event)

    writer, _ = open_session(store, context.clock, opening, emit, known, context.stop)
    writer.close(Outcome.PAUSED, reason)
    return writer.opening


def close_as_failed(
    store: Store, opening: OpenOptions, state: LogState, handed_over: int, asked: StopRequest, clock: Clock
) -> None:
    """Has the log say that something of this process has failed, and not that somebody has paused the session.

    Workers that are asked to stop know no more than that.
    """
    closed, is_ours = state.timeline.closed, state.timeline.opened.number > handed_over
    if closed is None or not is_ours or closed.body.get("outcome") != Outcome.PAUSED.value:
        return
    try:
        writer, _ = open_session(store, clock, replace(opening, take_over=False), lambda event: None, state)
        writer.close(Outcome.FAILED, asked.reason)
    except MLSessionError as second:
        error = asked.error()
        error.add_note(f"recording the outcome {Outcome.FAILED.value!r} in the session failed, too: {second}")


def how_it_ended(state: LogState, handed_over: int, ended: Ended, asked: StopRequest | None, url: str) -> BaseException:
    """What to raise for workers that have not finished; pure.

    `handed_over` is the opening after which they began, `asked` what this process was asked. Whatever may end
    otherwise the next time is a `JobStopped` that can be resumed. Workers that died again and again, and saved nothing
    in all that time, will do so the next time as well: that is a failure.
    """
    closed = state.timeline.closed
    if asked is not None:
        return asked.error()
    is_theirs = closed is not None and state.timeline.opened.number > handed_over
    outcome = closed.body.get("outcome") if closed is not None and is_theirs else None
    reason = str(closed.body.get("reason", "")) if closed is not None else ""
    if outcome == Outcome.PAUSED.value:
        return Cancelled(reason)
    if ended.failure is not None:
        rank, told = ended.failure
        return failure_from_json(told, f"rank {rank}")
    if outcome == Outcome.FAILED.value:
        return SessionFailed(f"training {redact(url)} failed: {reason}")
    if outcome == Outcome.INTERRUPTED.value and not ended.code:
        return Interrupted(reason)
    if outcome == Outcome.FINISHED.value:
        return InternalError("the workers finished another task than they were given")
    words = f"; their last words: {ended.last_words}" if ended.last_words else ""
    died = f"the worker processes died (the launcher ended with {ended.code}{words})"
    has_saved = any(entry.number > handed_over for entry in state.timeline.newest.values())
    if ended.code > 0 and not has_saved:  # A launcher that was killed has a number below 0.
        cure = "nothing was saved since they were started, so starting them again will not help"
        return SessionFailed(f"training {redact(url)} failed: {died}; {cure}")
    return WorkerLost(died)


def _access(request: Request) -> dict[str, dict[str, object]]:
    """The storage options of all that workers read from.

    Raises `InvalidParameter` for what only this process can read from.
    """
    named: Mapping[str, DataSource | None] = {
        "training_source": request.data,
        "validation_source": request.validation,
        "test_source": request.testing,
    }
    found: dict[str, dict[str, object]] = {}
    for name, source in named.items():
        if source is not None:
            _check_reachable(name, source.url, isinstance(source.labeling, ByDataset))
            found[name] = _lasting(source.storage_options or {})
    _lasting(request.session.storage_options)
    _check_reachable("session", request.place.url, is_own=False)
    if request.parameters.algorithm.automatic is None:  # The candidates come with mlsession.
        found[EXTRACTOR_WEIGHTS] = _weights_access(request.parameters.algorithm.extractor)
    return found


def _weights_access(spec: FeatureExtractorSpec) -> dict[str, object]:
    location, options = weights_place(spec)
    if must_be_given(spec.to_json()):
        reason = "runs code of its own, which no session may name to worker processes; train with devices=1"
        raise InvalidParameter("feature_extractor", spec.name, reason)
    try:
        extractor_from_json(spec.to_json(), location, options)
    except InvalidParameter:
        reason = "is an object of this process, which worker processes cannot have; train with devices=1"
        raise InvalidParameter("feature_extractor", spec.name, reason) from None
    return _lasting(options)


def _lasting(options: Mapping[str, object]) -> dict[str, object]:
    """Options that hold for as long as the workers live."""
    if isinstance(options, FreshOptions):
        reason = (
            "are asked for anew in this process, which worker processes cannot do; let each find its credentials in "
            "the environment or by the machine's role, or train with devices=1"
        )
        raise InvalidParameter("storage_options", type(options).__name__, reason)
    return dict(options)


def _check_reachable(name: str, url: str, is_own: bool) -> None:
    if is_own or any(scheme in _OWN_MEMORY for scheme in schemes_of(url)):
        reason = "lies in the memory of this process, where worker processes cannot read it; train with devices=1"
        raise InvalidParameter(name, redact(url), reason)
    if name != "session" and redact(url) != url:
        reason = "has credentials in its URL, which the session does not keep; give them as storage options"
        raise InvalidParameter(name, redact(url), reason)


def _cache(request: Request) -> str | None:
    """A temporary session has none, and workers do not know that it is one."""
    return None if request.place.temporary and request.session.cache == "auto" else request.session.cache
