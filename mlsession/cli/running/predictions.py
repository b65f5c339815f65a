"""`mlsession predict --output`: what many images show, as a job that can be stopped and goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlsession.cli.options import arguments as typed
from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines
from mlsession.cli.printing.progress import follow, screen_for
from mlsession.cli.printing.report import MOST_NAMES
from mlsession.cli.printing.text import byte_size, number_of, plain
from mlsession.errors import InvalidParameter
from mlsession.job.signals import stop_on_signals
from mlsession.session.parameters import SessionParameters
from mlsession.store.location import redact
from mlsession.training.classifier import Classifier

if TYPE_CHECKING:
    from mlsession.inference.report import PredictionReport


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictArguments:
    """The command line, as typed; None stands for the default."""

    model: str
    images: Sequence[str]
    output: str
    session: str | None
    top_k: int | None
    average_views: str | None
    min_confidence: float | None
    on_bad_image: str | None
    on_modified_data: str | None
    checkpoint_interval: str | None
    report_interval: int | None
    cache: str | None
    cache_size: str | None
    verify_content: bool
    take_over: bool
    extractor_weights: str | None
    storage_option: Sequence[str] = field(repr=False)
    json: bool


def predict_all(given: PredictArguments, check_signals: Callable[[], None]) -> int:
    """Predicts, or goes on, and writes the output; returns the exit code.

    `check_signals` raises `Interrupted` where a signal has been lost on a library.
    """
    options = typed.storage_options(given.storage_option)
    session, on_bad_image = _session(given, options), _on_bad_image(given.on_bad_image or "skip")
    classifier = Classifier.load(given.model, options, given.extractor_weights)
    screen = screen_for(sys.stderr)
    try:
        job = classifier.make_prediction_job(
            given.images[0] if len(given.images) == 1 else given.images,
            given.output,
            session,
            top_k=1 if given.top_k is None else given.top_k,
            on_bad_image=on_bad_image,
            min_confidence=given.min_confidence or 0.0,
            average_views=typed.average_views(given.average_views),
            storage_options=options,
        )
        with stop_on_signals(job):
            check_signals()
            report = follow(job, screen, session.grace_seconds + 5)
    finally:
        screen.close()
    if given.json:
        print_json(report.to_json())
    else:
        print_lines(_lines(report))
    return DONE


def _session(given: PredictArguments, options: typed.Options) -> SessionParameters:
    return SessionParameters(
        given.session,
        report_interval=1 if given.report_interval is None else given.report_interval,
        checkpoint_interval=typed.checkpoint_interval(given.checkpoint_interval or "auto"),
        take_over=given.take_over,
        on_modified_data=typed.on_modified_data(given.on_modified_data or "fail"),
        cache=typed.cache(given.cache or "auto"),
        cache_size=typed.byte_count("cache-size", given.cache_size or "10GB"),
        verify_content=given.verify_content,
        storage_options=options,
    )


def _on_bad_image(text: str) -> Literal["skip", "fail"]:
    match text:
        case "skip" | "fail":
            return text
    raise InvalidParameter("--on-bad-image", text, "must be skip or fail")


def _lines(report: PredictionReport) -> list[str]:
    found = sorted(((count, label) for label, count in report.counts.items() if count), key=lambda pair: -pair[0])
    named = ", ".join(f"{plain(label)} {count:,}" for count, label in found[:MOST_NAMES])
    more = f", and {number_of(len(found) - MOST_NAMES, 'further label')}" if len(found) > MOST_NAMES else ""
    without = [
        f"{report.num_skipped:,} cannot be read" if report.num_skipped else "",
        f"{number_of(report.num_rejected, 'image')} too unsure" if report.num_rejected else "",
    ]
    skipped = f" ({', '.join(filter(None, without))}: the output says why)" if any(without) else ""
    return [
        f"predicted {number_of(report.num_predicted, 'image')}{skipped}{': ' if named else ''}{named}{more}",
        f"output: {plain(redact(report.output))}, {byte_size(report.size_bytes)}",
        f"session: {plain(redact(report.session))}",
    ]
