"""The index of digests against a dictionary, whatever comes and goes."""

from __future__ import annotations

import numpy as np
import pytest

from mlsession.cache.packs import Digests
from mlsession.cache.places import NOWHERE, Places
from mlsession.randomness import keyed_generator


def digests(seed: int, count: int) -> Digests:
    return keyed_generator(seed, "digests").integers(0, 256, (count, 32), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_a_dictionary_finds(seed: int) -> None:
    draw = keyed_generator(seed, "steps")
    everything = digests(seed, 400)
    places, expected = Places(), dict[bytes, list[tuple[int, int]]]()
    for number in range(40):
        if number and draw.random() < 0.2:
            gone = draw.integers(0, number, 2).tolist()
            places = places.without(gone)
            expected = {key: [at for at in found if at[0] not in gone] for key, found in expected.items()}
        chosen = everything[draw.integers(0, 400, int(draw.integers(0, 12)))]
        places = places.having([(number, chosen)])
        for row, digest in enumerate(chosen):
            expected.setdefault(digest.tobytes(), []).append((number, row))
        packs, rows = places.find([digest.tobytes() for digest in everything])
        for digest, pack, row in zip(everything, packs.tolist(), rows.tolist(), strict=True):
            held = expected.get(digest.tobytes(), [])
            assert (pack, row) in held if held else (pack, row) == (NOWHERE, NOWHERE), f"seed {seed}"
        assert len(places) == sum(map(len, expected.values()))


def test_it_is_small() -> None:
    places = Places().having([(number, digests(number, 1000)) for number in range(3)])
    run = places.runs[0]
    assert (run.starts.nbytes + run.packs.nbytes + run.rows.nbytes) / len(places) == 16


def test_an_empty_one_finds_nothing() -> None:
    packs, rows = Places().find([bytes(32)])
    assert packs.tolist() == rows.tolist() == [NOWHERE]
    assert Places().find([])[0].tolist() == []
    assert Places().having([(0, digests(1, 2))]).without([0]).find([bytes(32)])[0].tolist() == [NOWHERE]
