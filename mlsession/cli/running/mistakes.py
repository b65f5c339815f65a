"""`mlsession mistakes`: what a model confuses, where it is sure and wrong, where it hesitates; each with its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines
from mlsession.cli.printing.text import number_of, percent, plain
from mlsession.data.names import plain_path
from mlsession.errors import InvalidParameter
from mlsession.metrics.images import ImageResult, ImageResults
from mlsession.phases.evaluated import PartName
from mlsession.store.location import redact
from mlsession.training.classifier import Classifier
from mlsession.training.findings.results import check_part

NAMED = 3
"""Images that are named of one confusion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MistakesArguments:
    """The command line, as typed."""

    session: str
    part: str | None
    most: int
    csv: str | None
    storage_options: Sequence[str] = field(repr=False)
    json: bool


def mistakes(given: MistakesArguments) -> int:
    """Shows what is worth a look, or writes all of it as a table."""
    if given.most < 1:
        raise InvalidParameter("--most", given.most, "must be 1 or more")
    options = storage_options(given.storage_options)
    classifier = Classifier.load(given.session, options)
    part = telling_part(classifier, given.part)
    found = classifier.results(part)
    if given.csv is not None:
        from mlsession.export.write import write_atomically

        write_atomically(given.csv, table_of(found), options)
    if given.json:
        print_json({"part": part, "count": len(found), **mistakes_json(found, given.most)})
        return DONE
    lines = [f"{number_of(len(found), f'{part} image')}, {found.num_wrong:,} predicted wrongly"]
    lines += mistake_lines(found, given.most)
    if given.csv is not None:
        lines += ["", f"wrote {plain(redact(given.csv))}: {number_of(len(found), 'image')}"]
    print_lines(lines)
    return DONE


def telling_part(classifier: Classifier, wanted: str | None) -> PartName:
    """What was asked for, or else the images that say most of how good a model is."""
    if wanted is not None:
        return check_part(wanted)
    if classifier.testing_metrics.is_valid or not classifier.training_metrics.is_valid:
        return "test"
    return "validation" if classifier.validation_metrics.is_valid else "training"


def mistake_lines(images: ImageResults, most: int) -> list[str]:
    """What is confused most, the surest mistakes, and the hesitant cases: `most` lines each."""
    lines = []
    confusions = images.top_confusions(most)
    if confusions:
        lines += ["", "most often confused:"]
    for each in confusions:
        behind = images.where(label=each.label, predicted=each.predicted).most_confident_errors()
        paths = [plain(path) for path in behind.paths[:NAMED]]
        more = f", and {each.count - NAMED:,} more" if each.count > NAMED else ""
        pair = f"{plain(each.label)} taken for {plain(each.predicted)}"
        lines.append(
            f"  {pair}, {each.count:,} ({percent(each.share)} of {plain(each.label)}): {', '.join(paths)}{more}"
        )
    lines += _section(
        "surest mistakes (a wrong label, or two things in one picture?):", images.most_confident_errors(most)
    )
    if len(images.classes) > 1:
        lines += _section("hardest to decide:", images.hesitant(most), top=2)
    return lines


def mistakes_json(images: ImageResults, most: int) -> dict[str, object]:
    """The same for programs; of each confusion all images, surest first."""
    return {
        "top_confusions": [
            {
                **each.to_json(),
                "images": list(images.where(label=each.label, predicted=each.predicted).most_confident_errors().paths),
            }
            for each in images.top_confusions(most)
        ],
        "confident_mistakes": [image.to_json() for image in images.most_confident_errors(most)],
        "hesitant": [image.to_json() for image in images.hesitant(most)],
    }


def image_line(image: ImageResult, top: int = 1) -> str:
    """What was said of one image: its best `top` labels, and the right one where it is another."""
    said = ", ".join(f"{plain(label)} {percent(share)}" for label, share in image.top[:top])
    truth = "" if image.correct else f" (is {plain(image.label)}, {percent(image.truth_confidence)})"
    return f"{plain(image.path)}: {said}{truth}"


def table_of(images: ImageResults) -> bytes:
    """All images as CSV: those predicted wrongly, the surest first, then the others, the most hesitant first."""
    frame = images.frame
    # As in the table of predictions: no spreadsheet may take a name for a formula.
    frame["path"] = [plain_path(path) for path in images.paths]
    order = np.lexsort((np.where(frame["correct"], frame["margin"], -frame["confidence"]), frame["correct"]))
    text: str = frame.iloc[order].to_csv(index=False, lineterminator="\n")
    return text.encode()


def _section(heading: str, images: ImageResults, top: int = 1) -> list[str]:
    return ["", heading, *(f"  {image_line(image, top)}" for image in images)] if len(images) else []
