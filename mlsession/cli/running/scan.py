"""`mlsession scan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlsession.cli.options import arguments as typed
from mlsession.cli.options import sources
from mlsession.cli.outcome import DONE, FOUND
from mlsession.cli.output import print_json, print_lines, remark, tell_retry
from mlsession.cli.printing.text import duration, number_of, plain
from mlsession.clock import Clock, SystemClock
from mlsession.errors import InvalidParameter
from mlsession.scanning.finding import TRAINING, Finding, Kind, Severity
from mlsession.scanning.report import ScanReport
from mlsession.scanning.scan import OnProgress
from mlsession.scanning.scan import scan as scan_images
from mlsession.scanning.text import report_lines
from mlsession.store import check_written_key, open_store, parent_url, redact, url_name

PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanArguments:
    """The command line, as typed."""

    data: str
    test: str | None
    html: str | None
    fail_on: str | None
    input_side: int
    label_from: str
    storage_options: Sequence[str] = field(repr=False)
    json: bool


def scan(given: ScanArguments) -> int:
    """Looks at all images and says what stands out; returns the exit code."""
    options, clock = typed.storage_options(given.storage_options), SystemClock()
    chosen = fail_rule(given.fail_on)
    if given.html is not None:
        # Refused before any image is read, not after all.
        check_written_key(url_name(given.html))
        open_store(parent_url(given.html), options).close()
    sources.check_label_from(given.label_from, given.data, given.test)
    data = sources.source(given.data, options, given.label_from)
    test = sources.source(given.test, options, given.label_from) if given.test is not None else None
    report = scan_images(
        data, test, input_side=given.input_side, on_progress=_progress(clock), on_retry=tell_retry, clock=clock
    )
    if (taken := report.sources[TRAINING].url) != data.url:
        remark(f"data: divided already; {plain(redact(taken))} to train on")
    if given.html is not None:
        report.save_html(given.html, options)
        remark(f"wrote {plain(redact(given.html))}")
    if given.json:
        print_json(report.to_json())
    else:
        print_lines(report_lines(report))
    return FOUND if chosen(report) else DONE


def fail_rule(text: str | None) -> Callable[[ScanReport], tuple[Finding, ...]]:
    """The findings that make the command fail: none, those as bad as a severity, or those of some kinds.

    Raises `InvalidParameter`.
    """
    if text is None:
        return lambda report: ()
    names = [name.strip() for name in text.split(",")]
    if len(names) == 1 and names[0] in list(Severity):
        return lambda report: report.at_least(names[0])
    unknown = [name for name in names if name not in list(Kind)]
    if unknown:
        kinds = ", ".join(sorted(Kind))
        raise InvalidParameter("fail-on", unknown[0], f"must be error, warning or note, or kinds out of: {kinds}")
    return lambda report: tuple(finding for finding in report.findings if finding.kind in names)


def _progress(clock: Clock) -> OnProgress:
    """Says now and then how far it is."""
    begun = said = clock.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said
        now = clock.monotonic()
        if now - said >= PROGRESS_SECONDS and done < total:
            said = now
            left = duration((now - begun) / done * (total - done))
            remark(f"scanning: {done:,} of {number_of(total, 'image')}, about {left} left")

    return tell
