"""Whatever a run is cut at, it goes on with the same bits; what runs it changes the speed alone."""

from __future__ import annotations

import secrets
import sys

import numpy as np
import pytest
import torch

from mlsession.errors import ModifiedTrainingData, UnusableData, UsageError
from mlsession.events import MicroBatchHalved
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.trainable import trainable_network
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.finetuning.tuner import tuning_numerics
from mlsession.phases.finetuned import FineTuned, comparison_of, is_decided, is_kept, tuned_head, tuned_tensors
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

    def __init__(self, most: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        self._most = most
        self._error = error

    def __call__(self, spec: FeatureExtractorSpec) -> torch.nn.Module:
        network = trainable_network(spec)

        def check(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if len(inputs[0]) > self._most:
                raise self._error("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")

        network.register_forward_pre_hook(check)
        return network


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_without_memory_the_parts_are_halved_and_the_steps_stay(small: Small, error: type[RuntimeError]) -> None:
    small.events.clear()
    options = rich(small, batch_size=9, gradient_accumulation="auto", epochs=1)
    found = [state for _, state in states(small.tuning(options, build=Cramped(3, error)))]
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


def test_two_devices_share_the_same_steps(small: Small) -> None:
    """Both have the same bits; one device has nearly the same, of the same images in the same order."""
    options = rich(small, batch_size=7, epochs=1)
    alone = last(small.tuning(options))
    with tuning_numerics(PLAIN):  # Its switches belong to the process; each thread would put them back by itself.
        outcomes = in_world(2, lambda world: last(small.tuning(options, world=world, neighbours=2)))
    first, second = (outcome.result() for outcome in outcomes)
    assert same(first, second)
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
