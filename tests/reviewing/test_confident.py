"""Confident learning, against cleanlab, whose authors wrote the paper, and by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mlsession.randomness import keyed_generator
from mlsession.reviewing import confident
from mlsession.reviewing.confident import (
    confident_joint,
    label_errors,
    pruned_by_class,
    pruned_by_noise_rate,
    thresholds,
    wrong_counts,
)
from mlsession.reviewing.heldout import HeldOut

CLASSES = 6


def said(labels: list[int], shares: list[list[float]]) -> HeldOut:
    return HeldOut(
        rows=np.arange(len(labels)), labels=np.array(labels), probabilities=np.array(shares, dtype=np.float32)
    )


def noisy(seed: int, count: int = 1_500, rate: float = 0.08) -> tuple[HeldOut, npt.NDArray[np.bool_]]:
    """What heads might say of images of which some have wrong labels; and which these are."""
    generator = keyed_generator(seed, "noisy labels")
    truth = generator.integers(0, CLASSES, count)
    scores = generator.standard_normal((count, CLASSES)) + 3.0 * np.eye(CLASSES)[truth]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wrong = generator.random(count) < rate
    # As people err: two classes are more often confused than others.
    labels = np.where(wrong, (truth + generator.choice([1, 1, 1, 2, 3], count)) % CLASSES, truth)
    return HeldOut(rows=np.arange(count), labels=labels, probabilities=shares.astype(np.float32)), wrong


def test_a_case_by_hand() -> None:
    held_out = said(
        [0, 0, 0, 1, 1, 1],
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]],
    )
    truth = held_out.probabilities[np.arange(6), held_out.labels].astype(np.float64)
    limits = thresholds(held_out.labels, truth, 2)
    assert limits == pytest.approx([0.6, (0.7 + 0.8 + 0.55) / 3])
    # The last one is confidently of no class, and the third of the other one.
    joint = confident_joint(held_out, limits)
    assert joint.tolist() == [[2, 1], [0, 2]]
    assert wrong_counts(joint, np.array([3, 3])).tolist() == [[0, 1], [0, 0]]
    found = label_errors(held_out, 2)
    assert found.rows.tolist() == [2]
    assert found.suggested.tolist() == [1]
    assert found.confidence == pytest.approx([0.9])


def test_what_is_likeliest_of_its_own_class_is_no_error() -> None:
    held_out = said([0, 0, 0, 1, 1], [[0.99, 0.01], [0.99, 0.01], [0.55, 0.45], [0.6, 0.4], [0.6, 0.4]])
    limits = thresholds(held_out.labels, np.array([0.99, 0.99, 0.55, 0.4, 0.4]), 2)
    assert confident_joint(held_out, limits).tolist() == [[2, 1], [0, 2]]
    assert label_errors(held_out, 2).rows.tolist() == []


def test_errors_are_found_and_few_others() -> None:
    for seed in range(3):
        held_out, wrong = noisy(seed)
        found = label_errors(held_out, CLASSES)
        hits = int(wrong[found.rows].sum())
        assert hits >= 0.75 * wrong.sum(), seed
        assert len(found.rows) - hits <= 0.15 * len(found.rows), seed
        best = held_out.probabilities.argmax(axis=1)
        assert (found.suggested == best[found.rows]).all()
        assert (found.suggested != held_out.labels[found.rows]).all()


def test_memory_for_blocks_and_columns_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out, _ = noisy(7, count=300)
    whole = label_errors(held_out, CLASSES)
    monkeypatch.setattr(confident, "BLOCK", 7)
    monkeypatch.setattr(confident, "MOST_VALUES", 90)
    pieces = label_errors(held_out, CLASSES)
    assert pieces.rows.tolist() == whole.rows.tolist()
    assert len(whole.rows) > 5


def test_a_class_without_images_and_one_without_confidence() -> None:
    held_out = said([0, 0, 2, 2], [[0.6, 0, 0.4], [0.7, 0, 0.3], [0.5, 0, 0.5], [0.2, 0, 0.8]])
    assert np.isinf(thresholds(held_out.labels, np.array([0.6, 0.7, 0.5, 0.8]), 3)[1])
    assert label_errors(held_out, 3).rows.tolist() == []


def test_the_oracle_agrees() -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed")
    pruning = pytest.importorskip("cleanlab.filter")
    for seed in range(3):
        held_out, _ = noisy(seed)
        labels, shares = held_out.labels, held_out.probabilities.astype(np.float64)
        truth = shares[np.arange(len(labels)), labels]
        limits = thresholds(labels, truth, CLASSES)
        assert limits == pytest.approx(count.get_confident_thresholds(labels, shares), abs=1e-6)
        joint = confident_joint(held_out, limits)
        oracle = count.compute_confident_joint(labels, shares, calibrate=False)
        # Where two classes are confident the paper takes the likelier of these, cleanlab the likeliest of all.
        confident_ones = shares >= limits - 1e-6
        differing = (confident_ones.sum(axis=1) > 1) & ~confident_ones[np.arange(len(labels)), shares.argmax(axis=1)]
        assert np.abs(joint - oracle).sum() <= 2 * differing.sum(), seed
        counts = wrong_counts(joint, np.bincount(labels, minlength=CLASSES))
        off = shares.argmax(axis=1) != labels
        ours = {
            "prune_by_class": pruned_by_class(labels, truth, counts) & off,
            "prune_by_noise_rate": pruned_by_noise_rate(held_out, counts) & off,
        }
        ours["both"] = ours["prune_by_class"] & ours["prune_by_noise_rate"]
        for name, mine in ours.items():
            theirs = pruning.find_label_issues(labels, shares, filter_by=name, n_jobs=1)
            # How many to prune of each pair of classes is rounded otherwise there.
            agreed = (mine & theirs).sum() / (mine | theirs).sum()
            assert agreed >= 0.93, (seed, name, agreed)
        assert set(label_errors(held_out, CLASSES).rows.tolist()) == set(np.flatnonzero(ours["both"]).tolist())
