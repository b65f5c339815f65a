"""What a training says of its images before it reads any: what their labels and numbers tell."""

from __future__ import annotations

from mlsession.data.index import ImageIndex
from mlsession.events import FindingMade
from mlsession.scanning.finding import Finding, in_order
from mlsession.scanning.labels import label_findings
from mlsession.session.opening import Emit
from mlsession.training.request import Indexes


def brief_findings(training: ImageIndex, test: ImageIndex | None) -> tuple[Finding, ...]:
    """The findings of a scan that need no picture, the worst first; pure. `mlsession scan` looks at the pictures."""
    return in_order(label_findings(_counts(training), None if test is None else _counts(test)))


def tell_findings(images: Indexes, emit: Emit) -> None:
    """Says them, one event each."""
    for finding in brief_findings(images.training, images.test):
        said = FindingMade(
            kind=finding.kind.value, severity=finding.severity.value, sentence=finding.sentence, cure=finding.cure
        )
        emit(said)


def _counts(index: ImageIndex) -> dict[str, int]:
    return dict(zip(index.classes, index.class_counts.tolist(), strict=True))
