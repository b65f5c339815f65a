"""When a fit is stopped early, and on what: images that it holds out for that, and for its temperature; pure.

Source: Prechelt, "Early stopping - but when?" (1998): the weights are those of the epoch with the lowest loss on
images that were not fitted to, and the fit ends when that loss has not fallen for a while.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsession.data.split import DIGEST_BYTES, split_rows
from mlsession.data.together import split_ties
from mlsession.heads.protocol import TrainingRows
from mlsession.randomness import key_digest
from mlsession.session.phase import Array

SHARE = 0.1
"""Of the images, held out."""
FEWEST_IMAGES = 200
"""To hold any out. On 100 photos a head that was fitted to all of them for 25 epochs was better, on 200 as good."""
PATIENCE = 10
"""Epochs that may pass without progress on the rows fitted to, where none are held out; as in scikit-learn."""
HELD_OUT_PATIENCE = 5
"""Epochs that may pass without progress on those held out."""


def held_out_rows(rows: TrainingRows, seed: int) -> npt.NDArray[np.int64]:
    """int64 [H]: the places, ascending, of the images that a fit holds out; none of fewer than `FEWEST_IMAGES`.

    Images as they are, a tenth of each class, as `split_rows` chooses them: by (seed, content), copies together. Where
    images belong together it is `split_ties` that chooses: as near to a tenth as groups allow, and none where that
    would be images of one class alone, which say nothing of the others. The further views of what is held out are
    neither fitted to nor judged.
    """
    places = np.flatnonzero(rows.originals)
    if len(places) < FEWEST_IMAGES:
        return np.empty(0, dtype=np.int64)
    digests = np.zeros((len(places), DIGEST_BYTES), dtype=np.uint8)
    labels, contents = rows.labels[places], rows.contents[places]
    digests[:, :8] = contents.astype("<i8").view(np.uint8).reshape(-1, 8)
    # Of another seed than validation images are chosen by: else the first in its order would always be missing here.
    drawn = int.from_bytes(key_digest(seed, "early stopping")[:7], "little")
    if not rows.is_grouped:
        return places[split_rows(labels, digests, SHARE, drawn)]
    chosen = split_ties(labels, digests, contents, SHARE, drawn)
    return places[chosen] if len(np.unique(labels[chosen])) > 1 else places[:0]


def fitted_rows(rows: TrainingRows, held_out: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 [R]: the places, ascending, of the rows that are fitted to: all but views and copies of those held out."""
    if not len(held_out):
        return np.arange(len(rows), dtype=np.int64)
    contents = rows.contents
    return np.flatnonzero(~np.isin(contents, contents[held_out]))


def has_converged(losses: Array, tolerance: float, patience: int = PATIENCE) -> bool:
    """Whether the last `patience` of the losses have lowered the lowest by less than `tolerance`."""
    if len(losses) <= patience:
        return False
    return bool(losses[:-patience].min() - losses[-patience:].min() < tolerance)
