"""`mlsession status` and `delete`: sessions in their stores."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE, FAILED, WRONG_USE
from mlsession.cli.output import print_json, print_lines, remark
from mlsession.cli.printing.narrator import note
from mlsession.cli.printing.report import prediction_lines, status_lines
from mlsession.cli.printing.text import byte_size, number_of, plain
from mlsession.clock import SystemClock
from mlsession.events import Event, WaitingForWriter
from mlsession.inference.summary import PredictionSummary, is_prediction
from mlsession.session.parameters import SessionParameters
from mlsession.training.classifier import Classifier
from mlsession.training.findings.summary import SessionSummary


def status(url: str, typed_options: Sequence[str], json: bool) -> int:
    """Shows a session; only reads."""
    parameters = SessionParameters(url, storage_options=storage_options(typed_options))
    with Classifier.restore_training_session(parameters) as session:
        summary: SessionSummary | PredictionSummary
        if is_prediction(session):
            summary = PredictionSummary.of(session, all_checkpoints=json)
        else:
            summary = SessionSummary.of(session, all_checkpoints=json)
    now = SystemClock().now()
    if json:
        print_json(summary.to_json())
    elif isinstance(summary, PredictionSummary):
        print_lines(prediction_lines(summary, now))
    else:
        print_lines(status_lines(summary, now))
    return DONE


def delete(url: str, yes: bool, typed_options: Sequence[str]) -> int:
    """Deletes a session, after asking."""
    parameters = SessionParameters(url, storage_options=storage_options(typed_options))
    with Classifier.restore_training_session(parameters) as session:
        where, held = session.url, f"{session.status.value}, {number_of(session.num_checkpoints, 'checkpoint')}"
    if not yes and not sys.stdin.isatty():
        remark(f"error: deleting {plain(where)} ({held}) needs a yes, and there is no terminal to ask on: give --yes")
        return WRONG_USE
    if not yes and not _is_confirmed(f"delete {plain(where)} ({held}) for good? [y/N] "):
        remark("nothing was deleted")
        return FAILED
    deleted = Classifier.delete_training_session(parameters, _show_wait)
    size = byte_size(deleted.size_bytes)
    print_lines([f"deleted {plain(deleted.url)}: {number_of(deleted.num_files, 'file')}, {size}"])
    if deleted.kept:
        kept = number_of(len(deleted.kept), "file")
        remark(f"kept {kept} there that no session wrote, such as {plain(deleted.kept[0])}")
    return DONE


def _is_confirmed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show_wait(event: Event) -> None:
    if isinstance(event, WaitingForWriter) and (text := note(event)):
        remark(text)
