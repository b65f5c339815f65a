"""The logistic head on a million images: memory at the peak, and seconds of an iteration.

    python -m benchmarks.heads_scale [--rows 1000000] [--features 1280] [--classes 1000] [--iterations 2]

Synthetic float16 features in a temporary file, as a session has them: a random direction for each class, and noise.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mlsession.extractors.numerics import THREADS, torch_numerics
from mlsession.heads.logistic.fit import initial_state, iterate
from mlsession.heads.options import LogisticRegressor
from mlsession.phases.features import BLOCK, let_go, make_room
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Arrays


def made_features(rows: int, width: int, classes: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """float16 [rows, width] in a file, and labels."""
    features = make_room(rows, width)
    centres = keyed_generator(0, "centres").standard_normal((classes, width), dtype=np.float32)
    labels = keyed_generator(0, "labels").integers(0, classes, rows)
    for start in range(0, rows, BLOCK):
        places = slice(start, min(start + BLOCK, rows))
        noise = keyed_generator(0, "noise", start).standard_normal((places.stop - start, width), dtype=np.float32)
        features[places] = centres[labels[places]] + 3 * noise
        let_go(features)
    return features, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("rows", 1_000_000), ("features", 1_280), ("classes", 1_000), ("iterations", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    features, labels = made_features(given.rows, given.features, given.classes)

    def rows() -> Iterator[Arrays]:
        for start in range(0, given.rows, BLOCK):
            block = slice(start, start + BLOCK)
            yield {"features": features[block], "labels": labels[block]}
            let_go(features)

    def said(what: str, began: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{what}: {time.monotonic() - began:.1f} s, peak {peak:.2f} GB", flush=True)

    size = features.nbytes / 1e9
    print(f"{given.rows:,} x {given.features:,} float16 ({size:.1f} GB), {given.classes:,} classes", flush=True)
    with torch_numerics(THREADS):
        began = time.monotonic()
        options = LogisticRegressor(l2=1e-6)
        state = initial_state(rows, [str(label) for label in range(given.classes)], options)
        said("before the first iteration", began)
        for _ in range(given.iterations):
            began = time.monotonic()
            state = iterate(state, rows, options)
            said(f"iteration {state.iteration}, loss {state.loss:.4f}", began)


if __name__ == "__main__":
    main()
