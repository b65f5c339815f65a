"""Where rows of features lie: an index of millions of digests in a few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlsession.cache.packs import DIGEST_BYTES, Digests

NOWHERE = -1
_MOST_RUNS = 8
"""Sorted runs that are searched one after the other before they become one."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """Rows in the order of the first eight bytes of their digests: 16 bytes a row."""

    starts: npt.NDArray[np.uint64]
    packs: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Which pack, by number, and which row of it holds a digest.

    Digests are told apart by their first eight bytes: of a million among a million one is mistaken for another once
    in ten million times, and whoever reads a row looks at all of its digest. A value: adding makes another one, and
    any number of threads may look.
    """

    runs: tuple[_Run, ...] = field(default=())

    def __len__(self) -> int:
        return sum(len(run.starts) for run in self.runs)

    def find(self, keys: Sequence[bytes]) -> tuple[Numbers, Numbers]:
        """The number of the pack and the row in it of each key, int64 [n] both; `NOWHERE` for those not known."""
        return self.find_digests(np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), DIGEST_BYTES))

    def find_digests(self, digests: Digests) -> tuple[Numbers, Numbers]:
        """The same of uint8 [n, 32]."""
        wanted = _starts(digests)
        packs, rows = np.full(len(wanted), NOWHERE, dtype=np.int64), np.full(len(wanted), NOWHERE, dtype=np.int64)
        for run in self.runs:
            places = np.minimum(np.searchsorted(run.starts, wanted), len(run.starts) - 1)
            found = (run.starts[places] == wanted) & (packs == NOWHERE)
            packs[found], rows[found] = run.packs[places[found]], run.rows[places[found]]
        return packs, rows

    def having(self, packs: Sequence[tuple[int, Digests]]) -> Places:
        """These and the rows of further packs, by their numbers."""
        filled = [(number, digests) for number, digests in packs if len(digests)]
        if not filled:
            return self
        starts = np.concatenate([_starts(digests) for _, digests in filled])
        counts = [len(digests) for _, digests in filled]
        numbers = np.repeat(np.array([number for number, _ in filled], dtype=np.int32), counts)
        rows = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
        runs = (*self.runs, _sorted_run(starts, numbers, rows))
        return Places(runs=runs if len(runs) <= _MOST_RUNS else (_joined(runs),))

    def without(self, packs: Sequence[int]) -> Places:
        """These without the rows of some packs."""
        gone = np.array(packs, dtype=np.int32)
        runs = [
            _Run(starts=run.starts[kept], packs=run.packs[kept], rows=run.rows[kept])
            for run in self.runs
            if (kept := ~np.isin(run.packs, gone)).any()
        ]
        return Places(runs=tuple(runs))


def _starts(digests: Digests) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _joined(runs: Sequence[_Run]) -> _Run:
    return _sorted_run(
        np.concatenate([run.starts for run in runs]),
        np.concatenate([run.packs for run in runs]),
        np.concatenate([run.rows for run in runs]),
    )


def _sorted_run(starts: npt.NDArray[np.uint64], packs: npt.NDArray[np.int32], rows: npt.NDArray[np.int32]) -> _Run:
    order = np.argsort(starts, kind="stable")
    return _Run(starts=starts[order], packs=packs[order], rows=rows[order])
