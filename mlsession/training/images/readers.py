"""The bytes of a training's images, and what its sources were like when they were listed."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass

from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.data.tags import has_sums
from mlsession.job.context import JobContext
from mlsession.store.retrying import Heed
from mlsession.training.images.revision import Revision
from mlsession.training.request import Indexes, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The bytes of each source by key, for any thread."""

    training: SourceReader
    validation: SourceReader | None
    test: SourceReader | None
    heed: Heed
    """Asked while a source does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What this attempt has listed of the images that it works on, where they can be known by that."""

    training: ImageIndex | None = None
    validation: ImageIndex | None = None
    test: ImageIndex | None = None


def listed_today(request: Request, found: Indexes, revision: Revision) -> Listed:
    """Of the sources as they were `found`; nothing of images that are kept whatever has become of them."""
    keeps = request.session.on_modified_data == "ignore"
    return Listed(
        training=None if keeps else _telling(found.training, revision.training),
        validation=None if keeps else _telling(found.validation, revision.validation),
        test=_telling(found.test, None),
    )


def _telling(found: ImageIndex | None, recorded: ImageIndex | None) -> ImageIndex | None:
    """The one that was recorded where they are the same: two of a million images take twice the memory."""
    if found is None or not has_sums(found):
        return None
    return recorded if recorded is not None and recorded.digest == found.digest else found


def open_readers(request: Request, stack: ExitStack, context: JobContext) -> Readers:
    """Readers that live as long as `stack`."""

    def reader(source: DataSource) -> SourceReader:
        # A read that fails for a while is retried; only what the bytes say may leave an image out.
        return stack.enter_context(closing(source.reader(context.read_policy(request.session, admitted=True))))

    return Readers(
        training=reader(request.data),
        validation=reader(request.validation) if request.validation else None,
        test=reader(request.testing) if request.testing else None,
        heed=context.stop.check,
    )
