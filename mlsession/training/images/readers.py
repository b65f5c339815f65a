"""The bytes of a training's images, and which of its sources are known to be as they were listed."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass

from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.job.context import JobContext
from mlsession.store.retrying import Heed
from mlsession.training.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The bytes of each source by key, for any thread."""

    training: SourceReader
    validation: SourceReader | None
    test: SourceReader | None
    heed: Heed
    """Asked while a source does not answer."""
    of_today: bool
    """Whether training and validation images were listed by this attempt, and are those that it works on."""
    tests_of_today: bool
    """The same of the test images."""


def open_readers(
    request: Request, stack: ExitStack, context: JobContext, *, of_today: bool = False, tests_of_today: bool = False
) -> Readers:
    """Readers that live as long as `stack`."""

    def reader(source: DataSource) -> SourceReader:
        # A read that fails for a while is retried; only what the bytes say may leave an image out.
        return stack.enter_context(closing(source.reader(context.read_policy(request.session, admitted=True))))

    return Readers(
        training=reader(request.data),
        validation=reader(request.validation) if request.validation else None,
        test=reader(request.testing) if request.testing else None,
        heed=context.stop.check,
        of_today=of_today and request.session.on_modified_data != "ignore",
        tests_of_today=tests_of_today,
    )
