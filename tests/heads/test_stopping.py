"""Which images a fit holds out, and when it has converged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.split import split_rows
from mlsession.heads.perceptron.stopping import (
    FEWEST_IMAGES,
    PATIENCE,
    SHARE,
    fitted_rows,
    has_converged,
    held_out_rows,
)
from mlsession.randomness import key_digest, keyed_generator
from tests.heads.rows import RowsInMemory


def rows(seed: int, images: int, views: int, classes: int) -> RowsInMemory:
    """Images with views, some of them copies of others, also under another label; in the order of an index."""
    generator = keyed_generator(seed, "rows")
    contents = generator.permutation(10 * images)[:images].astype(np.int64) - 5 * images
    copies = generator.random(images) < 0.1
    contents[copies] = generator.choice(contents, int(copies.sum()))
    labels = np.r_[np.arange(classes), generator.integers(0, classes, images - classes)]
    return RowsInMemory(
        np.zeros((images * views, 1), dtype=np.float32),
        labels.repeat(views),
        contents=contents.repeat(views),
        originals=np.tile(np.arange(views) == 0, images),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99), images=st.integers(FEWEST_IMAGES, 600), views=st.integers(1, 3), classes=st.integers(2, 9)
)
def test_a_tenth_of_each_class_with_all_its_copies_and_views(seed: int, images: int, views: int, classes: int) -> None:
    given_rows = rows(seed, images, views, classes)
    held_out = held_out_rows(given_rows, seed)
    fitted = fitted_rows(given_rows, held_out)
    assert (np.diff(held_out) > 0).all()
    assert given_rows.originals[held_out].all()
    assert abs(len(held_out) - images / 10) <= classes + 1
    contents = given_rows.contents
    assert not np.isin(contents[fitted], contents[held_out]).any()
    # All the other images are fitted to, with every view.
    left = set(range(images * views)) - set(fitted.tolist())
    assert left == set(np.flatnonzero(np.isin(contents, contents[held_out])).tolist())
    counts = np.bincount(given_rows.labels[given_rows.originals], minlength=classes)
    mine = np.bincount(given_rows.labels[held_out], minlength=classes)
    assert (mine <= np.ceil(counts / 10)).all()
    assert (np.bincount(given_rows.labels[fitted], minlength=classes) > 0).all()


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does() -> None:
    given_rows = rows(1, 400, 1, 4)
    order = keyed_generator(0, "order").permutation(400)
    shuffled = RowsInMemory(
        np.zeros((400, 1), dtype=np.float32), given_rows.labels[order], contents=given_rows.contents[order]
    )
    chosen = [set(each.contents[held_out_rows(each, 3)].tolist()) for each in (given_rows, shuffled)]
    assert chosen[0] == chosen[1]
    assert chosen[0] != set(given_rows.contents[held_out_rows(given_rows, 4)].tolist())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 99), copies=st.integers(1, 150), classes=st.integers(2, 4), views=st.integers(1, 2))
def test_without_groups_it_is_the_plain_split_however_many_copies_there_are(
    seed: int, copies: int, classes: int, views: int
) -> None:
    images = 300
    contents, labels = np.arange(images, dtype=np.int64) // copies * 7 - 900, np.arange(images) % classes
    given_rows = RowsInMemory(
        np.zeros((images * views, 1), dtype=np.float32),
        labels.repeat(views),
        contents=contents.repeat(views),
        originals=np.tile(np.arange(views) == 0, images),
    )
    digests = np.zeros((images, 32), dtype=np.uint8)
    digests[:, :8] = contents.view(np.uint8).reshape(-1, 8)
    drawn = int.from_bytes(key_digest(seed, "early stopping")[:7], "little")
    plain = np.flatnonzero(split_rows(labels, digests, SHARE, drawn)) * views
    assert held_out_rows(given_rows, seed).tolist() == plain.tolist()


def grouped(labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> RowsInMemory:
    """Images of which those of one of the `groups` belong together."""
    return RowsInMemory(np.zeros((len(labels), 1), dtype=np.float32), labels, contents=groups, is_grouped=True)


@pytest.mark.parametrize("groups", [3, 8, 12, 40])
def test_however_large_groups_are_whole_ones_are_held_out(groups: int) -> None:
    images = np.arange(1_000)
    given_rows = grouped(images % 2, images * groups // 1_000)
    held_out = held_out_rows(given_rows, 0)
    assert len(held_out) > 0
    assert abs(len(held_out) - 100) <= 1_000 / groups
    held_groups = given_rows.contents[held_out]
    assert not np.isin(given_rows.contents[fitted_rows(given_rows, held_out)], held_groups).any()
    assert len(held_out) == np.isin(given_rows.contents, held_groups).sum()
    assert set(given_rows.labels[held_out].tolist()) == {0, 1}


def test_images_of_one_class_alone_are_not_held_out() -> None:
    images = np.arange(1_000)
    large = grouped(images // 500, images // 125)  # Each group has one class, and a fourth of it.
    assert len(held_out_rows(large, 0)) == 0
    smaller = grouped(images // 500, images // 62)
    assert np.bincount(smaller.labels[held_out_rows(smaller, 0)]).min() > 0


def test_few_images_are_all_fitted_to_however_many_views_they_have() -> None:
    few = rows(0, FEWEST_IMAGES - 1, 3, 3)
    held_out = held_out_rows(few, 0)
    assert len(held_out) == 0
    assert fitted_rows(few, held_out).tolist() == list(range(len(few)))


def test_convergence_is_a_rule_on_the_losses() -> None:
    falling = np.linspace(1, 0, 30)
    assert not has_converged(falling, 1e-4)
    assert not has_converged(np.ones(PATIENCE), 1e-4)
    assert has_converged(np.ones(PATIENCE + 1), 1e-4)
    assert has_converged(np.r_[0.5, np.ones(PATIENCE)], 0.0)
    assert not has_converged(np.r_[1.0, np.ones(PATIENCE - 1), 0.9998], 1e-4)
    assert has_converged(np.r_[1.0, np.ones(PATIENCE - 1), 0.99995], 1e-4)
    assert has_converged(np.ones(6), 1e-4, patience=5)
    assert not has_converged(np.ones(5), 1e-4, patience=5)
