"""Fine-tuned extractors: the network of another with other tensors, run by the same backends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.extractors.catalog import (
    base_of,
    extractor_from_json,
    load_extractor,
    numerics_of,
    runtime_for,
    scene_print,
    timm_extractor,
    weights_place,
)
from mlsession.extractors.running.runtime import Runtime
from mlsession.extractors.trainable import trainable_network
from mlsession.extractors.tuned import TunableExtractor, TunedExtractor
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array
from mlsession.testing.tiny_extractor import TinyExtractor
from tests.extractors.conftest import named, usable
from tests.extractors.networks import save_weights, timm_network

pytestmark = pytest.mark.usefixtures("one_thread")
EXACT = Runtime(backend="torch", precision="float32")
RUNTIMES = (EXACT, *(Runtime(backend="openvino", precision=precision) for precision in ("float32", "bfloat16")))


def changed(base: TunableExtractor, share: float = 0.02) -> dict[str, Array]:
    """All parameters of its network, each a little other."""
    found: dict[str, Array] = {}
    for name, parameter in trainable_network(base).named_parameters():
        values = parameter.detach().numpy()
        noise = keyed_generator(0, name).normal(size=values.shape)
        found[name] = (values * (1 + share * noise)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def tuned() -> TunedExtractor:
    return TunedExtractor(base=scene_print(), tensors=changed(scene_print()))


def expected(spec: TunedExtractor, images: npt.NDArray[np.uint8]) -> Array:
    """From the network that was tuned, with the tensors as they are."""
    network = trainable_network(spec.base)
    state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in spec.tensors.items()}
    assert not network.load_state_dict(state, strict=False).unexpected_keys
    with torch.no_grad():
        found: Array = network.train()(torch.from_numpy(images).permute(0, 3, 1, 2).float()).numpy()
    return found


@pytest.mark.parametrize("runtime", RUNTIMES, ids=named)
def test_every_backend_runs_the_tuned_network(
    tuned: TunedExtractor, runtime: Runtime, images: npt.NDArray[np.uint8]
) -> None:
    runtime, images = usable(runtime), images[:5]
    if runtime.backend == "openvino":
        pytest.importorskip("openvino")
    extractor = load_extractor(tuned, runtime)
    found, wanted = extractor.extract(images), expected(tuned, images)
    base = load_extractor(tuned.base, runtime)
    cosines = (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    if runtime.precision == "float32":
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert cosines.min() > 0.998
    assert np.abs(base.extract(images) - wanted).max() > 0.5
    assert extractor.numerics() == base.numerics() == numerics_of(tuned, runtime)
    assert (extractor.name, extractor.identity) == (tuned.name, tuned.identity)


def test_it_is_run_as_its_base_is(tuned: TunedExtractor) -> None:
    assert runtime_for(tuned) == runtime_for(tuned.base)
    assert (tuned.dimension, tuned.input_side) == (tuned.base.dimension, tuned.base.input_side)
    assert base_of(tuned) == base_of(tuned.base) == tuned.base
    assert tuned.name == "scene_print:2 (fine-tuned)"


def test_the_network_for_export_is_the_tuned_one_and_may_not_change_the_value(
    tuned: TunedExtractor, images: npt.NDArray[np.uint8]
) -> None:
    network = load_extractor(tuned, EXACT).network()
    with torch.no_grad():
        found = network(torch.from_numpy(images[:2]).permute(0, 3, 1, 2).float()).numpy()
        np.testing.assert_allclose(found, expected(tuned, images[:2]), atol=1e-4)
        for parameter in (*network.parameters(), *trainable_network(tuned).parameters()):
            parameter.zero_()
    assert TunedExtractor(base=tuned.base, tensors=tuned.tensors) == tuned


def test_two_are_equal_if_their_features_are(tuned: TunedExtractor) -> None:
    same = TunedExtractor(base=tuned.base, tensors={name: tensor.copy() for name, tensor in tuned.tensors.items()})
    assert (same, hash(same), same.identity) == (tuned, hash(tuned), tuned.identity)
    name, tensor = next(iter(tuned.tensors.items()))
    other = replace(tuned, tensors={**tuned.tensors, name: -tensor})
    assert other != tuned
    assert len({tuned.identity, other.identity, tuned.base.identity}) == 3


def test_some_of_the_tensors_may_be_tuned_and_the_others_are_those_of_the_base(
    tuned: TunedExtractor, images: npt.NDArray[np.uint8]
) -> None:
    last = {name: tensor for name, tensor in tuned.tensors.items() if name.startswith("head.")}
    partly = replace(tuned, tensors=last)
    assert len(last) == 2
    np.testing.assert_allclose(
        load_extractor(partly, EXACT).extract(images[:2]), expected(partly, images[:2]), atol=1e-4
    )


@pytest.mark.parametrize("name", ["test_resnet", "levit_128s"])
def test_networks_of_libraries_are_tuned_too(name: str, tmp_path: Path) -> None:
    """LeViT keeps what it computes from its parameters while it is in evaluation mode, from before they were tuned."""
    base = timm_extractor(name, save_weights(timm_network(name), tmp_path / "weights.safetensors"))
    tuned = TunedExtractor(base=base, tensors=changed(base, share=0.5))
    pictures = keyed_generator(0, "pictures").integers(0, 256, (2, base.input_side, base.input_side, 3), dtype=np.uint8)
    found, wanted = load_extractor(tuned).extract(pictures), expected(tuned, pictures)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    assert np.abs(load_extractor(base).extract(pictures) - wanted).max() > 1e-2 * np.abs(wanted).max()
    again = trainable_network(tuned)
    assert all(
        np.array_equal(tensor.detach().numpy(), tuned.tensors[each]) for each, tensor in again.named_parameters()
    )
    assert weights_place(tuned) == weights_place(base)
    read = extractor_from_json(tuned.to_json(), str(tmp_path / "weights.safetensors"), tensors=tuned.tensors)
    assert read == tuned
    assert weights_place(read)[0] == str(tmp_path / "weights.safetensors")


def test_its_stored_form_needs_the_tensors(tuned: TunedExtractor) -> None:
    stored = tuned.to_json()
    assert stored == {
        "kind": "tuned",
        "base": {"kind": "scene_print", "revision": 2},
        "tensors": f"tensors-sha256:{tuned.digest}",
    }
    assert extractor_from_json(stored, tensors=tuned.tensors) == tuned
    with pytest.raises(InvalidParameter, match=r"tensors='of scene_print:2': are missing"):
        extractor_from_json(stored)
    with pytest.raises(DamagedData, match="its tensors are tensors-sha256:"):
        extractor_from_json(stored, tensors={"head.convolution.bias": np.ones(1280, np.float32)})
    with pytest.raises(InvalidParameter, match="does not say what was tuned"):
        extractor_from_json({**stored, "base": stored}, tensors=tuned.tensors)


BIAS = "head.convolution.bias"


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "are none"),
        ({BIAS: np.zeros(1280)}, "must be float32"),
        ({BIAS: np.full(1280, np.nan, np.float32)}, "finite"),
    ],
)
def test_refuses_what_are_no_tuned_tensors(tensors: dict[str, Array], reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        TunedExtractor(base=scene_print(), tensors=tensors)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"tail.bias": np.zeros(3, np.float32)}, "'tail.bias': is no tensor of the network of scene_print:2"),
        ({BIAS: np.zeros(3, np.float32)}, r"must be \(1280,\)"),
    ],
)
def test_refuses_tensors_of_another_network(tensors: dict[str, Array], reason: str, tmp_path: Path) -> None:
    spec = TunedExtractor(base=scene_print(), tensors=tensors)
    with pytest.raises(InvalidParameter, match=reason):
        load_extractor(spec, EXACT)
    base = timm_extractor("test_resnet", save_weights(timm_network("test_resnet"), tmp_path / "weights.safetensors"))
    with pytest.raises(InvalidParameter, match="is no tensor of the network of timm:test_resnet"):
        load_extractor(TunedExtractor(base=base, tensors=tensors), EXACT)


def test_refuses_a_base_that_cannot_be_tuned(tuned: TunedExtractor) -> None:
    for base in (TinyExtractor(), tuned):
        with pytest.raises(InvalidParameter, match="cannot be tuned"):
            TunedExtractor(base=base, tensors=tuned.tensors)  # type: ignore[arg-type]
