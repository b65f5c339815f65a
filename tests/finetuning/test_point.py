"""Steps on one vector are those of torch's own optimiser on many parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from mlsession.augment.options import name_of
from mlsession.errors import InvalidParameter
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.point import LEAST_SHARE, LEAST_SIZE, Point, laid_out, sizes_of, tuned_parameters
from mlsession.finetuning.schedule import learning_rate_factor
from mlsession.finetuning.tuner import Part, Tuner, tuning_numerics

from .small import PLAIN

STEPS, IMAGES, SIDE = 6, 12, 8
RATE, DECAY, LAYERS = 1e-2, 0.1, 0.7


class Tiny(nn.Module):
    """Two convolutions; the second is nearer to the head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 5, 3, stride=2)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(torch.relu(self.first(pictures / 255))).mean(dim=(2, 3))
        return out


DEPTHS = {"first.weight": 0, "first.bias": 0, "second.weight": 1, "second.bias": 1}


def networks() -> tuple[Tiny, nn.Linear]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny(), nn.Linear(5, 3)


def data(step: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    generator = np.random.default_rng(step)
    return generator.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8), generator.integers(0, 3, IMAGES)


class Share(nn.Module):
    """A weight as a multiple of how large its channel was, or of how large the vector was."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        others = tuple(range(1 if weight.ndim > 1 else 0, weight.ndim))
        self.size = weight.detach().pow(2).mean(dim=others, keepdim=True).sqrt()

    def forward(self, share: torch.Tensor) -> torch.Tensor:
        return share * self.size

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / self.size


def by_hand() -> list[torch.Tensor]:
    """A plain loop: AdamW with a group for each layer on relative weights, cosine with warm-up, smoothed labels."""
    network, head = networks()
    for layer in (network.first, network.second, head):
        for name in ("weight", "bias"):
            parametrize.register_parametrization(layer, name, Share(getattr(layer, name)))
    groups = []
    for layer, distance in ((head, 0), (network.second, 1), (network.first, 2)):
        for name, decay in (("weight", DECAY), ("bias", 0.0)):
            parameter = layer.get_parameter(f"parametrizations.{name}.original")
            groups.append({"params": [parameter], "lr": RATE * LAYERS**distance, "weight_decay": decay})
    optimizer = torch.optim.AdamW(groups, foreach=False)
    rising = round(0.3 * STEPS)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / (STEPS - rising)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for step in range(STEPS):
        pixels, labels = data(step)
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        loss = nn.functional.cross_entropy(head(network(pictures)), torch.from_numpy(labels), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
    layers = (network.first, network.second, head)
    return [getattr(layer, name).detach() for layer in layers for name in ("weight", "bias")]


def with_a_point(size: int, workers: int = 1) -> list[torch.Tensor]:
    """The same on one vector, in parts of `size` images."""
    network, head = networks()
    tuned = tuned_parameters(network, head, DEPTHS, "all")
    point = Point([each for each, _ in tuned], laid_out(tuned, LAYERS), torch.device("cpu"))
    first, second = torch.zeros_like(point.values), torch.zeros_like(point.values)
    tuner = Tuner(network, head, PLAIN, workers=workers)
    with tuning_numerics(PLAIN):
        for step in range(STEPS):
            pixels, labels = data(step)
            soft = np.full((IMAGES, 3), 0.1 / 3, dtype=np.float32)
            soft[np.arange(IMAGES), labels] += np.float32(0.9)
            cuts = [slice(start, start + size) for start in range(0, IMAGES, size)]
            parts = [Part(pixels=pixels[cut], targets=soft[cut], labels=labels[cut]) for cut in cuts]
            point.summed.zero_()
            tuner.gradients(point, parts, IMAGES, 1.0)
            rate = RATE * learning_rate_factor(step, STEPS, 0.3, "cosine")
            point.step(first, second, update=step + 1, learning_rate=rate, weight_decay=DECAY)
    return [parameter.detach() for parameter in point.parameters]


def assert_close(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], rtol: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=1e-6)


def test_steps_are_those_of_a_plain_loop() -> None:
    assert_close(with_a_point(IMAGES), by_hand(), 1e-4)


def test_parts_change_the_last_bits_and_threads_none() -> None:
    parts = with_a_point(5)
    assert_close(parts, by_hand(), 1e-4)
    for one, other in zip(parts, with_a_point(5, workers=3), strict=True):
        assert torch.equal(one, other)


def test_what_the_network_does_not_use_has_no_gradient() -> None:
    network, head = networks()
    network.unused = nn.Linear(2, 2)
    tuned = tuned_parameters(network, head, {**DEPTHS, "unused.weight": 1, "unused.bias": 1}, "all")
    point = Point([each for each, _ in tuned], laid_out(tuned, LAYERS), torch.device("cpu"))
    pixels, labels = data(0)
    part = Part(pixels=pixels, targets=np.eye(3, dtype=np.float32)[labels], labels=labels)
    with tuning_numerics(PLAIN):
        Tuner(network, head, PLAIN).gradients(point, [part], IMAGES, 1.0)
    sizes = [parameter.numel() for parameter in point.parameters]
    used = [bool(gradient.any()) for gradient in torch.split(point.gradient, sizes)]
    assert used == [parameter not in set(network.unused.parameters()) for parameter in point.parameters]
    assert used.count(False) == 2


def test_channels_that_are_cut_off_stay_small() -> None:
    kernel = torch.zeros(3, 2, 1, 1)
    kernel[0], kernel[1] = 3.0, 4.0
    whole = math.sqrt((9 + 16) / 3)
    assert sizes_of(kernel).tolist() == pytest.approx([3, 3, 4, 4, whole * LEAST_SHARE, whole * LEAST_SHARE])
    assert sizes_of(torch.tensor([3.0, -4.0])).tolist() == pytest.approx([math.sqrt(12.5)] * 2)
    assert sizes_of(torch.zeros(2)).tolist() == pytest.approx([LEAST_SIZE] * 2)


@pytest.mark.parametrize(("unfreeze", "count"), [(1, 2), (2, 4), ("all", 4), (9, 4)])
def test_blocks_are_unfrozen_from_the_head_on(unfreeze: int, count: int) -> None:
    network, head = networks()
    tuned = tuned_parameters(network, head, DEPTHS, unfreeze)
    assert sum(parameter.requires_grad for parameter in network.parameters()) == count
    assert [distance for _, distance in tuned] == [*[2, 2, 1, 1][4 - count :], 0, 0]
    stretches = laid_out(tuned, 0.5)
    assert [stretch.place.start for stretch in stretches[1:]] == [stretch.place.stop for stretch in stretches[:-1]]
    assert stretches[-1].place.stop == sum(parameter.numel() for parameter, _ in tuned)
    assert [stretch.decays for stretch in stretches] == [True, False] * (len(tuned) // 2)
    assert [stretch.scale for stretch in stretches[-2:]] == [1.0, 1.0]


def test_options_are_checked_and_stored() -> None:
    usual = FineTune(augmentation=["crop"], ema=0.9, unfreeze=3, classifier="auto")
    stored = usual.tuning_json()
    assert FineTune.from_tuning_json(stored, usual.feature_extractor, usual.head) == usual
    assert "augmentation" not in FineTune().tuning_json()
    with pytest.raises(InvalidParameter, match="is of another version"):
        FineTune.from_tuning_json({**stored, "clip": 1.0}, usual.feature_extractor, usual.head)
    wrong: dict[str, object] = {
        **{"epochs": 0, "unfreeze": 0, "learning_rate": 0.0, "layer_decay": 1.5, "weight_decay": -1.0},
        **{"label_smoothing": 1.0, "mixup": -0.1, "warmup": 1.0, "schedule": "step", "ema": 1.0, "batch_size": True},
        **{"gradient_accumulation": "max", "compile": 1, "keep": "never", "augmentation": ["crop", "shear"]},
        **{"classifier": "best"},
    }
    for name, value in wrong.items():
        with pytest.raises(InvalidParameter, match=name.replace("augmentation", "shear")):
            FineTune(**{name: value})  # type: ignore[arg-type]


def test_what_is_left_out_of_a_choice_is_not_done_either() -> None:
    """What is usual is done where a choice of augmentation came to nothing, if that was among the candidates."""
    assert [name_of(option) for option in FineTune().augmentation_of(())] == ["crop", "flip"]
    assert [name_of(option) for option in FineTune().augmentation_of((), ("crop",))] == ["crop"]
    assert FineTune().augmentation_of((), ()) == ()
    assert [name_of(option) for option in FineTune(augmentation=["blur"]).augmentation_of((), ())] == ["blur"]
