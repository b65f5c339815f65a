"""Whatever a run is cut at, it goes on with the same bits; what runs it changes the speed alone."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mlsession.devices.group import Group
from mlsession.errors import DamagedData, ModifiedTrainingData, UnusableData, UsageError
from mlsession.events import MicroBatchHalved
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.trainable import trainable_network
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.finetuning.tuner import tuning_numerics
from mlsession.phases.features import FeatureTable
from mlsession.phases.finetune import FineTuning
from mlsession.phases.finetuned import (
    Comparison,
    FineTuned,
    Judged,
    comparison_of,
    is_decided,
    is_kept,
    tuned_head,
    tuned_tensors,
)
from mlsession.phases.tuning.verdict import keeps
from mlsession.session.phase import PhaseState
from tests.devices.worlds import in_world

from .small import PLAIN, Small, last, same, small_extractor, states


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(small_extractor(tmp_path_factory.mktemp("small")))


def rich(small: Small, **options: object) -> FineTune:
    """With all that has a memory: moments, an average, a warm-up, blended images."""
    given: dict[str, object] = {"epochs": 2, "batch_size": 7, "gradient_accumulation": 2, "mixup": 0.3, "ema": 0.8}
    return FineTune(feature_extractor=small.spec, keep="always", **{**given, **options})  # type: ignore[arg-type]


def test_cut_anywhere_it_goes_on_with_the_same_bits(small: Small) -> None:
    options = rich(small, augmentation=["flip", "crop", "rotate", "noise"])
    whole = [state for _, state in states(small.tuning(options, seed=5))]
    assert len(whole) == 2 * (3 + 1)  # 18 images in steps of 6, and 7 to validate on in one look.
    seed = secrets.randbits(31)
    sys.stdout.write(f"seed {seed}\n")
    # In the midst of both epochs, before a look at the validation images and after it, and anywhere.
    for place in {2, 3, int(np.random.default_rng(seed).integers(len(whole) - 1))}:
        again = [state for _, state in states(small.tuning(options, seed=5), whole[place])]
        assert len(again) == len(whole) - place - 1
        assert all(same(one, other) for one, other in zip(again, whole[place + 1 :], strict=True))


def test_threads_change_nothing_and_the_seed_does(small: Small) -> None:
    options = rich(small, gradient_accumulation="auto", epochs=1)
    many = last(small.tuning(options))
    assert same(last(small.tuning(options, neighbours=1000)), many)  # One thread.
    other = last(small.tuning(options, seed=1))
    assert other.arrays["epochs.loss"] != many.arrays["epochs.loss"]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_state_is_what_the_next_turn_needs(small: Small) -> None:
    found = list(states(small.tuning(rich(small))))
    steps, saved = [step for step, _ in found], [state for _, state in found]
    assert [step.iteration for step in steps] == list(range(1, 9))
    assert [step.item_count for step in steps] == [6, 12, 18, 25, 31, 37, 43, 50]
    assert {(step.total, step.total_items) for step in steps} == {(8, 50)}
    assert [step.last for step in steps] == [False] * 7 + [True]
    assert [is_decided(state) for state in saved] == [False] * 7 + [True]
    assert {"point", "first_moments", "second_moments", "average"} <= saved[0].arrays.keys()
    assert "point" not in saved[-1].arrays
    assert saved[2].data["updates"] == 3
    assert saved[3].arrays["logits"].shape == (7, 3)
    ended = FineTuned.of(saved[-1])
    assert ended is not None
    assert ended.is_kept
    assert [len(values) for values in ended.epochs.values()] == [2] * 4
    assert steps[-1].metrics["kept"] == 1.0
    tensors, head = tuned_tensors(saved[-1]), tuned_head(saved[-1])
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: tuple(parameter.shape) for name, parameter in trainable_network(small.spec).named_parameters()
    }
    assert (head.num_classes, head.num_features) == (3, small.spec.dimension)


def test_it_is_kept_only_if_it_is_better(small: Small) -> None:
    learns = FineTune(feature_extractor=small.spec, epochs=6, batch_size=6, learning_rate=3e-3, layer_decay=1.0)
    better = last(small.tuning(learns))
    compared = comparison_of(better)
    assert compared is not None
    assert compared.images == 7
    assert compared.is_better
    assert is_kept(better)
    known = Small(small.spec, is_known=True)  # Better than its head alone nothing can be.
    other = last(known.tuning(FineTune(feature_extractor=small.spec, epochs=1, batch_size=6)))
    compared = comparison_of(other)
    assert compared is not None
    assert compared.head_only.accuracy == 1.0
    assert not compared.is_better
    assert not is_kept(other)
    assert not any(name.startswith(("network.", "head.", "point")) for name in other.arrays)


def test_without_validation_images_it_must_be_kept_always(small: Small) -> None:
    with pytest.raises(UnusableData, match="there are none"):
        last(small.tuning(FineTune(feature_extractor=small.spec), validation=0))
    kept = last(small.tuning(rich(small, epochs=1), validation=0))
    assert is_kept(kept)
    assert comparison_of(kept) is None
    assert kept.data["temperature"] == 1.0


class Cramped:
    """Makes networks that have memory for so many images at a time."""

    def __init__(
        self, most: int, error: type[RuntimeError] = torch.OutOfMemoryError, *, while_training: bool = True
    ) -> None:
        self._most = most
        self._error = error
        self._while_training = while_training

    def __call__(self, spec: FeatureExtractorSpec) -> torch.nn.Module:
        network = trainable_network(spec)

        def check(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if len(inputs[0]) > self._most and torch.is_grad_enabled() is self._while_training:
                raise self._error("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")

        network.register_forward_pre_hook(check)
        return network


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_without_memory_the_parts_are_halved_and_the_steps_stay(small: Small, error: type[RuntimeError]) -> None:
    small.events.clear()
    options = rich(small, batch_size=9, gradient_accumulation="auto", epochs=1)
    steps = list(states(small.tuning(options, build=Cramped(3, error))))
    found = [state for _, state in steps]
    assert [step.urgent for step, _ in steps] == [True, False, False], "what was found out is saved at once"
    halved = [event for event in small.events if isinstance(event, MicroBatchHalved)]
    assert [(event.original, event.new, event.batch_size) for event in halved] == [(8, 4, 9), (4, 2, 9)]
    assert found[0].data["micro_batch"] == 2
    # As if it had been so from the start; and going on, it is known.
    small.events.clear()
    given = last(small.tuning(rich(small, batch_size=9, gradient_accumulation=5, epochs=1)))
    assert same(found[-1], given)
    assert same(last(small.tuning(options, build=Cramped(3, error)), found[0]), found[-1])
    assert not small.events


def test_without_memory_for_one_image_it_says_so(small: Small) -> None:
    with pytest.raises(UsageError, match="not enough memory for a single image"):
        last(small.tuning(rich(small), build=Cramped(0)))
    with pytest.raises(RuntimeError, match="another reason"):
        last(small.tuning(rich(small), build=lambda spec: _failing(spec)))


def _failing(spec: FeatureExtractorSpec) -> torch.nn.Module:
    def fail(*_: object) -> None:
        raise RuntimeError("another reason")

    network = trainable_network(spec)
    network.register_forward_pre_hook(fail)
    return network


@pytest.mark.parametrize("size", [2, 3])
def test_devices_share_the_same_steps(small: Small, size: int) -> None:
    """All have the same bits, cut short anywhere too; one has nearly the same, of the same images in the same order."""
    options = rich(small, batch_size=7, epochs=1)
    alone = last(small.tuning(options))
    step = np.random.default_rng(seed := secrets.randbits(31)).integers(0, 3)
    sys.stdout.write(f"seed {seed}\n")

    def by_all(world: Group) -> tuple[list[PhaseState], PhaseState]:
        unbroken = [state for _, state in states(small.tuning(options, world=world, neighbours=size))]
        return unbroken, last(small.tuning(options, world=world, neighbours=size), unbroken[step])

    with tuning_numerics(PLAIN):  # Its switches belong to the process; each thread would put them back by itself.
        outcomes = [outcome.result() for outcome in in_world(size, by_all)]
    first = outcomes[0][0][-1]
    for unbroken, resumed in outcomes:
        assert same(unbroken[-1], first)
        assert same(resumed, first)
    assert first.data["seen"] == alone.data["seen"] == 18
    for name, array in alone.arrays.items():
        np.testing.assert_allclose(first.arrays[name], array, rtol=1e-3, atol=1e-5, err_msg=name)


def test_lower_precisions_learn_nearly_the_same(small: Small) -> None:
    options = rich(small, epochs=1)
    exact = last(small.tuning(options)).arrays["epochs.loss"]
    for precision in ("bf16-mixed", "16-mixed"):
        found = [state for _, state in states(small.tuning(options, runtime=TuningRuntime(precision=precision)))]
        np.testing.assert_allclose(found[-1].arrays["epochs.loss"], exact, rtol=0.05)
        assert found[0].data["scale"] == (1.0 if precision == "bf16-mixed" else 2.0**16)


def test_images_that_have_changed_are_noticed(small: Small) -> None:
    changed = Small(small.spec)
    tuning = changed.tuning(rich(small))
    steps = tuning.run(None)
    next(steps)
    changed.files = dict.fromkeys(changed.files, changed.files["04.png"])
    with pytest.raises(ModifiedTrainingData, match="1 replaced"):
        list(steps)


def in_two(runners: Callable[[Group], FineTuning]) -> list[BaseException | None]:
    """What the ranks of a world of two raise."""

    def work(world: Group) -> None:
        for _ in runners(world).run(None):
            pass

    with tuning_numerics(PLAIN):
        return [outcome.exception() for outcome in in_world(2, work)]


@pytest.mark.parametrize("key", ["04.png", "22.png"])
def test_what_another_rank_cannot_use_ends_all_with_that(small: Small, key: str) -> None:
    """An image to train on, and one to validate on, that is another one now, as rank 1 alone sees."""
    changed = Small(small.spec)
    changed.files, changed.load_table = {**small.files, key: small.files["05.png"]}, small.table
    options = rich(small, batch_size=9, epochs=1, mixup=0.0)
    raised = in_two(lambda world: (changed if world.rank else small).tuning(options, world=world, neighbours=2))
    assert isinstance(raised[0], ModifiedTrainingData)
    assert raised[0].replaced == (key,)
    assert raised[1] is None, "it waits for what rank 0 says next"


def test_features_that_one_rank_cannot_read_end_all_with_that(small: Small) -> None:
    def damaged() -> FeatureTable:
        raise DamagedData("blobs/7", "other bytes")

    other = Small(small.spec)
    other.load_table = damaged
    raised = in_two(lambda world: (other if world.rank else small).tuning(rich(small), world=world, neighbours=2))
    assert isinstance(raised[0], DamagedData)
    assert raised[0].key == "blobs/7"
    assert raised[1] is None


def test_ranks_that_share_a_network_keep_what_rank_0_keeps() -> None:
    better, worse = Judged(accuracy=0.9, log_loss=0.3), Judged(accuracy=0.8, log_loss=0.4)
    compared = [Comparison(images=7, head_only=one, finetuned=two) for one, two in ((worse, better), (better, worse))]
    for first in (0, 1):
        outcomes = in_world(2, lambda world, first=first: keeps("better", compared[world.rank ^ first], world))  # type: ignore[misc]
        assert [outcome.result() for outcome in outcomes] == [first == 0] * 2
    assert [keeps("better", each, None) for each in (*compared, None)] == [True, False, False]
    assert keeps("always", compared[1], None)


@pytest.mark.parametrize("most", [2, 3])
def test_without_memory_to_look_at_images_all_devices_halve_their_parts(small: Small, most: int) -> None:
    """One device alone, and both of two: the same logits, and the smaller parts are remembered."""
    options = rich(small, batch_size=6, gradient_accumulation="auto", epochs=1)

    def cramped(spec: FeatureExtractorSpec) -> torch.nn.Module:
        return Cramped(most, while_training=False)(spec)

    alone = [state for _, state in states(small.tuning(options, build=cramped))]
    assert [state.data["micro_batch"] for state in alone] == [6] * 3 + [3 if most == 3 else 1]
    plain = last(small.tuning(options))
    np.testing.assert_allclose(alone[-1].arrays["epochs.validation_loss"], plain.arrays["epochs.validation_loss"])
    with tuning_numerics(PLAIN):
        outcomes = in_world(
            2,
            lambda world: [
                (step.urgent, state.data["micro_batch"])
                for step, state in states(
                    small.tuning(options, world=world, neighbours=2, build=cramped if world.rank else trainable_network)
                )
            ],
        )
    first, second = (outcome.result() for outcome in outcomes)
    assert first == second
    assert first == [(False, 3)] * 3 + [(most == 2, 3 if most == 3 else 1)]
