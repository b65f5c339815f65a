"""Work that may fail on one rank alone, such as reading its part of a state: all go on, or none does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from mlsession.devices.crew import Crew
from mlsession.devices.failures import failure_from_json, failure_to_json
from mlsession.devices.messages import decode_message, encode_message
from mlsession.errors import WorkerLost
from mlsession.session.log.members import as_object
from mlsession.session.phase import Json

T = TypeVar("T")


class LeftTogether(Exception):
    """Raised on the followers where the work has failed somewhere: rank 0 raises why, and decides what comes next."""


def done_together(crew: Crew, work: Callable[[], T]) -> T:
    """Does `work` on every rank. Where it fails on one, rank 0 raises what it was, and the others `LeftTogether`.

    Rank 0 may be asked to stop while it waits for the others.
    """
    found, failure = _tried(work)
    _go_on(crew, failure)
    return found[0]


def done_in_step(crew: Crew, work: Callable[[], T]) -> T:
    """The same of work that is done again and again: where all goes well it takes but one sum over the ranks."""
    found, failure = _tried(work)
    failed = torch.tensor([float(failure is not None)])
    crew.sum(failed)
    if float(failed[0]):
        _go_on(crew, failure)
    return found[0]


def _tried(work: Callable[[], T]) -> tuple[list[T], Exception | None]:
    try:
        return [work()], None
    except WorkerLost:
        raise
    except Exception as error:
        return [], error


def _go_on(crew: Crew, failure: Exception | None) -> None:
    """Raises the first failure of all on rank 0, and `LeftTogether` on the others, if there is any."""
    if crew.rank:
        told: dict[str, Json] = {} if failure is None else {"failure": failure_to_json(failure)}
        crew.send(encode_message(told), to=0)
    else:
        heard = [decode_message(crew.receive(rank))[0] for rank in range(1, crew.size)]
        for rank, answer in enumerate(heard, start=1):
            if failure is None and "failure" in answer:
                failure = failure_from_json(as_object(answer["failure"]), f"rank {rank}")
    if crew.agree(failure is None) is True:
        return
    if crew.rank:
        raise LeftTogether
    assert failure is not None
    raise failure
