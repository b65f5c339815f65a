"""The scan: list, look at every image once, and say what stands out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

from mlsession.clock import Clock, SystemClock
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.errors import DividedData, InvalidParameter
from mlsession.phases.pictures import Read, worked_batches
from mlsession.scanning.copies import copy_findings
from mlsession.scanning.finding import TEST, TRAINING, Finding, in_order
from mlsession.scanning.labels import label_findings
from mlsession.scanning.measure import Measured, measure
from mlsession.scanning.pictures import picture_findings
from mlsession.scanning.report import Count, ScanReport
from mlsession.scanning.table import Table
from mlsession.session.watching.liveness import this_process
from mlsession.store import join_url
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff, OnRetry

INPUT_SIDE = 224
"""Of what the usual extractor sees, in pixels."""

OnProgress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


def scan(
    data: DataSource,
    testing: DataSource | None = None,
    *,
    input_side: int = INPUT_SIDE,
    on_progress: OnProgress | None = None,
    on_retry: OnRetry | None = None,
    clock: Clock | None = None,
) -> ScanReport:
    """What is wrong with labelled images, before they are trained on: see `docs/scan.md` for all that is looked for.

        report = ml.scan(train, test)
        print(report)
        report.save_html("scan.html")

    Every image is read and decoded once, at reduced size, by several threads; nothing is written. `input_side` is what
    the network sees, in pixels. The same images give the same report, whatever the number of threads.

    Raises `UnusableData` where there is nothing to look at, `StoreError` for a store that does not answer (what fails
    is tried again first, for a minute, or for a quarter of an hour with `on_retry`, which hears of it), and
    `InvalidParameter`.
    """
    if isinstance(input_side, bool) or not isinstance(input_side, int) or input_side < 1:
        raise InvalidParameter("input_side", input_side, "must be a whole number of pixels, 1 or more")
    policy = ReadPolicy(clock=clock or SystemClock(), caller=this_process().name)
    if on_retry is not None:
        policy = replace(policy, on_retry=on_retry, backoff=Backoff())
    sources, indexes = _listed(data, testing, policy)
    measured = _measured(list(sources.values()), list(indexes.values()), policy, on_progress)
    table = Table.of(indexes[TRAINING], indexes.get(TEST), measured)
    return ScanReport(
        counts=_counts(table, indexes),
        findings=findings_of(table, input_side),
        ignored=sum(index.ignored for index in indexes.values()),
        sources=sources,
    )


def findings_of(table: Table, input_side: int = INPUT_SIDE) -> tuple[Finding, ...]:
    """All findings of what was measured, the worst first; pure."""
    test = None if table.test is None else table.counts(test=True)
    found = label_findings(table.counts(test=False), test)
    return in_order([*found, *copy_findings(table), *picture_findings(table, input_side)])


def _listed(
    data: DataSource, testing: DataSource | None, policy: ReadPolicy
) -> tuple[dict[str, DataSource], dict[str, ImageIndex]]:
    """The sources and what they list; of data that are divided into folders their own parts, as for training."""
    try:
        sources = {TRAINING: data} if testing is None else {TRAINING: data, TEST: testing}
        return sources, {name: source.index(min_classes=1, policy=policy) for name, source in sources.items()}
    except DividedData as divided:
        if divided.source != data.shown:
            raise  # Of data that were given for one part.
        parts = {name: replace(data, url=join_url(data.url, folder)) for name, folder in divided.parts.items()}
    if TEST in parts:  # Corrections are of the images to train on.
        parts[TEST] = replace(parts[TEST], corrections=None)
    return _listed(parts[TRAINING], testing or parts.get(TEST), policy)


def _counts(table: Table, indexes: dict[str, ImageIndex]) -> dict[str, dict[str, Count]]:
    counts: dict[str, dict[str, Count]] = {}
    for name, index in indexes.items():
        readable = table.counts(test=name == TEST)
        listed = dict(zip(index.classes, index.class_counts.tolist(), strict=True))
        counts[name] = {label: Count(listed=listed[label], readable=readable[label]) for label in index.classes}
    return counts


def _measured(
    sources: Sequence[DataSource],
    indexes: Sequence[ImageIndex],
    policy: ReadPolicy,
    on_progress: OnProgress | None,
) -> Iterator[Measured]:
    """What is measured of each image of each source, in order."""
    done, total = 0, sum(map(len, indexes))
    for source, index in zip(sources, indexes, strict=True):
        with ExitStack() as stack:
            reader = stack.enter_context(closing(source.reader(policy)))
            batches = stack.enter_context(closing(_batches(index, reader)))
            for batch in batches:
                yield from batch
                done += len(batch)
                if on_progress is not None:
                    on_progress(done, total)


def _batches(index: ImageIndex, reader: SourceReader) -> Generator[list[Measured]]:
    def read(row: int) -> bytes:
        return reader.read(index.keys[row])

    def work(batch: Sequence[tuple[int, Read]]) -> list[Measured]:
        return [measure(take(), index.keys[row]) for row, take in batch]

    yield from worked_batches(range(len(index)), read, work, is_shared=reader.opens_shared)
