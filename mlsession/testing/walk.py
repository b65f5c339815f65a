"""A tiny task with everything that can go wrong in a resume: chaotic state, additive rows, partial sums, odd floats."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, Arrays, Notice, Past, PhaseRunner, PhaseState, Step

BLOCK = 8
"""Rows that the second phase reads at once."""


class Walking:
    """Each step moves a vector by a chaotic map, adds 0 to 3 rows, and keeps a sum that depends on the order."""

    def __init__(self, seed: int, limit: int, on_step: Callable[[int], None]) -> None:
        self._seed = seed
        self._limit = limit
        self._on_step = on_step

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        if state is None:
            done, vector, total = 0, keyed_generator(self._seed, "start").random(4), math.nan
        else:
            done, vector = int(state.arrays["done"]), state.arrays["vector"].copy()
            total = float(str(state.data["total"]))
        for turn in range(done + 1, self._limit + 1):
            self._on_step(turn)
            vector *= 3.9 * (1.0 - vector)
            total = float(vector.sum()) + (0.0 if math.isnan(total) else total / 3.0)
            yield Step(
                iteration=turn,
                total=self._limit,
                snapshot=partial(_walked, turn, vector, total),
                item_count=2 * turn,
                total_items=2 * self._limit,
                metrics={"total": total, "nothing": math.nan},
                adds=self._rows(turn, vector),
                notices=(Notice(item=f"item-{turn}", text="odd"),) if turn % 5 == 0 else (),
                last=turn == self._limit,
            )

    def _rows(self, turn: int, vector: Array) -> Arrays:
        count = turn % 4
        if count == 0:
            return {}
        return {
            "values": np.repeat(vector[None].astype(np.float32), count, axis=0),
            "turn": np.full(count, turn, dtype=np.uint16),
        }


def _walked(turn: int, vector: Array, total: float) -> PhaseState:
    # The vector goes on changing: this is only right if it is asked for before the next step.
    return PhaseState({"done": np.array(turn), "vector": vector.copy()}, {"total": total, "odd": [math.inf, -0.0]})


class Summing:
    """Reads the rows back in blocks, one block a step, and folds them into a digest."""

    def __init__(self, past: Past, salt: str) -> None:
        self._past = past
        self._salt = salt

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        done, digest = 0, hashlib.sha256(self._salt.encode()).hexdigest()
        if state is not None:
            done, digest = int(state.arrays["blocks"]), str(state.data["digest"])
        blocks = list(self._past.rows("walking", BLOCK))
        for number in range(done, max(len(blocks), done + 1)):
            for name in sorted(blocks[number]) if number < len(blocks) else ():
                array = blocks[number][name]
                content = f"{digest}{name}{array.dtype}{array.shape}".encode() + array.tobytes()
                digest = hashlib.sha256(content).hexdigest()
            yield Step(
                iteration=number + 1,
                total=None,
                snapshot=partial(PhaseState, {"blocks": np.array(number + 1)}, {"digest": digest}),
                last=number + 1 >= len(blocks),
            )


def _nothing(turn: int) -> None:
    return


@dataclass(frozen=True)
class Walk:
    """The task. Its result is (steps, vector, total, digest of all rows), exact to the bit."""

    limit: int = 10
    seed: int = 0
    salt: str = ""
    """Changes the second phase only."""
    on_step: Callable[[int], None] = field(default=_nothing, compare=False)

    name = "walk"
    phases = ("walking", "summing")

    @property
    def parameters(self) -> Mapping[str, int]:
        return {"seed": self.seed}

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return Walking(self.seed, self.limit, self.on_step) if phase == "walking" else Summing(past, self.salt)

    def inputs(self, phase: str) -> str:
        return self.salt if phase == "summing" else ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return phase != "walking" or int(state.arrays["done"]) >= self.limit

    def result(self, past: Past) -> tuple[int, bytes, str, str]:
        walked = past.state("walking")
        total, digest = walked.data["total"], past.state("summing").data["digest"]
        assert isinstance(total, float)
        assert isinstance(digest, str)
        return int(walked.arrays["done"]), walked.arrays["vector"].tobytes(), total.hex(), digest
