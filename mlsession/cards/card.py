"""The card of a model: a README with front matter, from facts alone; pure.

what it is    classes and their images    figures    limits    files and how to use them    how it was trained
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from mlsession.advising.advice import Severity
from mlsession.cards.facts import CardFacts
from mlsession.cards.front import front_matter
from mlsession.cards.markdown import code, escaped, escaped_label, fenced_json, table
from mlsession.cards.measured import best_part, count_lines, few_images, measured_lines
from mlsession.cards.usage import usage_lines
from mlsession.export.compression import CompressionLoss
from mlsession.export.report import ExportReport

MOST_NAMED = 10
"""Classes named in a sentence."""


def card_text(facts: CardFacts) -> str:
    """The card as Markdown. It holds no path but names of files beside it, and no credential."""
    files = [(each.path, PurePosixPath(each.path).suffix) for each in facts.exports]
    metrics = {part: each for part, each in facts.metrics.items() if each.is_valid}
    sections: list[tuple[str, list[str]]] = [
        ("", _about(facts)),
        ("Classes", count_lines(facts.classes, metrics)),
        ("Figures", measured_lines(metrics) or ["Nothing is known of how good it is: it was not evaluated."]),
        ("Limits", list(_limits(facts))),
        ("Files", _files(facts)),
        ("Use", usage_lines(files, facts.side, weights=facts.extractor.weights)),
        ("Training", _training(facts)),
    ]
    lines = [*front_matter(facts, [suffix for _, suffix in files]), "", f"# {escaped(facts.title)}", ""]
    for title, section in sections:
        lines += [f"## {title}", ""] if title else []
        lines += [*section, ""]
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip("\n") + "\n"


def _about(facts: CardFacts) -> list[str]:
    metadata = facts.metadata
    rows = [("classes", f"{len(facts.classes):,}")]
    named = (("author", metadata.author), ("licence", metadata.license), ("version", metadata.version))
    rows += [(name, escaped(text)) for name, text in named if text]
    # What begins so is said below in words.
    own = {name: text for name, text in metadata.additional.items() if not name.startswith("mlsession.")}
    rows += [(escaped(name), escaped(text)) for name, text in own.items()]
    rows.append(("model digest", f"`{facts.model_digest}`"))
    return [escaped(metadata.short_description), "", *table(["", ""], rows)]


def _limits(facts: CardFacts) -> Iterator[str]:
    yield f"- It gives every picture one of its {len(facts.classes):,} classes, also one that shows none of them."
    metrics = {part: each for part, each in facts.metrics.items() if each.is_valid}
    part = best_part(metrics)
    if part is not None and (few := few_images(metrics[part])):
        named = ", ".join(map(escaped_label, few[:MOST_NAMED])) + (", ..." if len(few) > MOST_NAMED else ".")
        yield f"- Fewer than 10 {part} images, so that figures of the class itself say little: {named}"
    if facts.data is not None and facts.data.skipped:
        yield f"- Images that could not be read, and count nowhere: {facts.data.skipped:,}."
    if facts.advice is not None:
        for each in (facts.advice.advice, *facts.advice.others):
            if each.severity is not Severity.NONE:
                step = re.sub(r"(, then)?:$", "", each.next_step)  # The command that follows names folders.
                yield f"- {_sentence(f'{each.limit}: {each.evidence}')} {_sentence(f'To try: {step}')}"


def _sentence(text: str) -> str:
    """A text with its full stop, unless dots end it already."""
    return escaped(text) + ("" if text.endswith("...") else ".")


def _files(facts: CardFacts) -> list[str]:
    difference = "differs from the trained model by"
    header = ["file", "is", "size", "size before", difference, "a picture", "a picture before"]
    rows = [
        [
            code(each.path),
            escaped(each.format) + (f", {each.compression.method}" if each.compression is not None else ""),
            _size(each.size_bytes) + _uncompressed(each),
            "-" if each.model_size_bytes is None else _size(each.model_size_bytes),
            _proof(each),
            _milliseconds(each.seconds, each.runtime),
            _milliseconds(each.model_seconds),
        ]
        for each in facts.exports
    ]
    others = "`labels.json` has the labels in the order of the probabilities, `metrics.json` all figures, and "
    if not facts.metrics:
        others = "`labels.json` has the labels in the order of the probabilities, and "
    lines = [*table(header, rows), "", f"{others}`*.report.json` how a file was proved."]
    if facts.processor:
        lines[-1] += f" Times are medians for one picture in one thread ({escaped(facts.processor)});"
        lines[-1] += " before: the trained network in torch, its size in memory."
    return lines


def _proof(report: ExportReport) -> str:
    if not report.verified:
        return "**not verified**"
    photos = f", {report.num_photos:,} of them photos" if report.num_photos else ""
    difference = f"{report.max_difference:.0e} at most" if report.max_difference else "nothing"
    proof = f"{difference}, on {report.num_images:,} pictures{photos}"
    return proof if report.compression is None else f"{proof}; {_lost(report.compression)}"


def _lost(loss: CompressionLoss) -> str:
    """What fewer bits cost, but for the difference."""
    said = f"{loss.num_changed:,} of them get another label"
    if loss.accuracy is None or loss.uncompressed_accuracy is None:
        return said
    shares = (f"{100 * share:.1f} %" for share in (loss.accuracy, loss.uncompressed_accuracy))
    return f"{said}; of {loss.num_labeled:,} test images {next(shares)} are right, {next(shares)} uncompressed"


def _uncompressed(report: ExportReport) -> str:
    return "" if report.compression is None else f" ({_size(report.compression.uncompressed_size_bytes)} uncompressed)"


def _training(facts: CardFacts) -> list[str]:
    extractor, data = facts.extractor, facts.data
    rows = [("extractor", code(extractor.name) + (f": {escaped(extractor.origin)}" if extractor.origin else ""))]
    rows.append(("identity of the extractor", code(extractor.identity)))
    rows.append(("licence of the extractor", escaped(extractor.licence) if extractor.licence else "not known"))
    rows.append(("classifier on it", escaped(facts.head)))
    rows.append(("temperature of its logits", f"{facts.temperature:.4g}"))
    if data is not None:
        rows.append(("images", escaped(data.name)))
        rows += [("SHA-256 of the images and labels", f"`{data.digest}`")] if data.digest else []
        rows += [("validation images", escaped(data.split))] if data.split else []
    rows.append(("trained and written by", escaped(f"mlsession {facts.version}".strip())))
    lines = table(["", ""], rows)
    if facts.training:
        lines += ["", "Parameters, seed and choices:", "", *fenced_json(facts.training)]
    if facts.numerics:
        lines += ["", "What may change the last bits:", "", *fenced_json(facts.numerics)]
    return lines


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _milliseconds(seconds: float | None, runtime: str = "") -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:.1f} ms" + (f" in {escaped(runtime)}" if runtime else "")
