"""`mlsession augment-preview`: what augmentation makes of some of the images, on one sheet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from mlsession.augment.automatic import options_of
from mlsession.augment.options import name_of
from mlsession.augment.sheet import SheetRow, contact_sheet
from mlsession.augment.transforms import Augmenter
from mlsession.augment.views import ViewPlan, describe
from mlsession.cli.options import arguments as typed
from mlsession.cli.options import sources
from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines, remark
from mlsession.cli.printing.text import number_of, plain
from mlsession.errors import InvalidParameter, UnreadableImage, UnusableData
from mlsession.export.write import write_atomically
from mlsession.images.decode import prepare_wide

SIDE = 256
"""Of the square that the usual extractor takes."""
MOST_IMAGES = 40
"""On one sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewArguments:
    """The command line, as typed."""

    data: str
    augment: str
    output: str
    images: int
    label_from: str
    seed: int
    storage_options: Sequence[str] = field(repr=False)
    json: bool


def augment_preview(given: PreviewArguments) -> int:
    """Writes a PNG with some images and the views that training with this seed makes of them."""
    options, output = typed.storage_options(given.storage_options), given.output
    plan = ViewPlan(options=options_of(typed.augmentation(given.augment)), seed=given.seed)
    if not 1 <= given.images <= MOST_IMAGES:
        raise InvalidParameter("images", given.images, f"must be a whole number from 1 to {MOST_IMAGES}")
    if not output.lower().endswith(".png"):
        raise InvalidParameter("output", output, "the sheet is a PNG; let the name end in .png")
    sources.check_label_from(given.label_from, given.data)
    source = sources.source(given.data, options, given.label_from)
    index = source.index(min_classes=1)
    with closing(source.reader()) as reader:
        rows = list(_rows(index.keys, given.images, plan, reader.read))
    if not rows:
        raise UnusableData(str(source), "none of the images that were tried can be read; see the lines above")
    words = [name_of(option) for option in plan.options]
    write_atomically(output, contact_sheet(f"{', '.join(words)} (seed {given.seed})", rows), options)
    if given.json:
        print_json({"path": output, "images": [row.name for row in rows], "views": len(plan)})
    else:
        counted = f"{number_of(len(rows), 'image')} with {number_of(len(plan) - 1, 'view')} each"
        print_lines([f"wrote {plain(output)}: {counted}"])
    return DONE


def _rows(keys: Sequence[str], count: int, plan: ViewPlan, read: Callable[[str], bytes]) -> Iterator[SheetRow]:
    """Images evenly spaced over the source, which is ordered by label; for one that cannot be read another near it.

    Those that cannot be read are named.
    """
    augmenter = Augmenter()
    count = min(count, len(keys))
    for place in range(count):
        near = keys[place * len(keys) // count : (place + 1) * len(keys) // count]
        middle = len(near) // 2
        for key in (*near[middle:], *near[:middle]):
            data = read(key)
            try:
                square, wide = prepare_wide(data, key, SIDE)
            except UnreadableImage as error:
                remark(f"skipped {plain(key)}: {plain(error.reason)}")
                continue
            effects = [plan.effect(hashlib.sha256(data).digest(), view) for view in range(1, len(plan))]
            pictures = [square, *(augmenter.apply(effect, square, wide) for effect in effects)]
            yield SheetRow(name=key, pictures=pictures, captions=[describe(effect) for effect in effects])
            break
