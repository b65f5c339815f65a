"""Networks of timm and torchvision as values; no library is loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import extractor_from_json, weights_place
from mlsession.extractors.library.extractor import TimmExtractor, TorchvisionExtractor

FACTS: dict[str, Any] = {
    "network": "resnet18",
    "weights": "file-sha256:" + "0123456789abcdef" * 4,
    "dimension": 512,
    "network_side": 224,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
SPEC = TimmExtractor(**FACTS)

shares = st.floats(0, 1)
specs = st.one_of(
    *(
        st.builds(
            kind,
            network=st.from_regex(r"[a-z0-9_.\-]{1,20}", fullmatch=True),
            weights=st.from_regex(r"(file|tensors)-sha256:[0-9a-f]{64}", fullmatch=True),
            dimension=st.integers(1, 10_000),
            network_side=st.integers(1, 1_000),
            mean=st.tuples(shares, shares, shares),
            std=st.tuples(*[st.floats(0.01, 1)] * 3),
            location=st.none() | st.just("/weights/x.pth"),
        )
        for kind in (TimmExtractor, TorchvisionExtractor)
    )
)


@given(specs)
def test_json_round_trip(spec: TimmExtractor | TorchvisionExtractor) -> None:
    stored = json.loads(json.dumps(spec.to_json()))
    found = extractor_from_json(stored, spec.location)
    assert found == spec
    assert found.identity == spec.identity
    assert weights_place(found) == (spec.location, {})


def test_what_it_is_called_and_means() -> None:
    assert SPEC.name == "timm:resnet18"
    assert SPEC.input_side == 256
    assert SPEC.identity == (
        "timm:resnet18 file-sha256:0123456789abcdef pillow-bilinear-square/2 256>224 "
        "(x/255-(0.485,0.456,0.406))/(0.229,0.224,0.225)"
    )
    assert TorchvisionExtractor(**FACTS).identity != SPEC.identity
    other: object = TorchvisionExtractor(**FACTS)
    assert other != SPEC


def test_the_place_of_the_weights_is_no_part_of_it() -> None:
    moved = SPEC.at("s3://bucket/w.pth", {"key": "secret"})
    assert moved == SPEC
    assert hash(moved) == hash(SPEC)
    assert moved.to_json() == SPEC.to_json()
    assert "secret" not in repr(moved)
    assert weights_place(moved) == ("s3://bucket/w.pth", {"key": "secret"})
    assert "s3" not in json.dumps(moved.to_json())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"network": "hf_hub:timm/resnet18"}, "network"),
        ({"network": ""}, "network"),
        ({"weights": "sha256:00"}, "weights"),
        ({"weights": "file-sha256:" + "A" * 64}, "weights"),
        ({"dimension": 0}, "dimension"),
        ({"dimension": True}, "dimension"),
        ({"network_side": -1}, "network_side"),
        ({"network_side": 224.0}, "network_side"),
        ({"mean": (0.5, 0.5)}, "mean"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean"),
        ({"std": (0.5, 0.0, 0.5)}, "std"),
    ],
)
def test_a_value_that_cannot_be_is_refused(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        TimmExtractor(**{**FACTS, **changed})
    assert caught.value.parameter == named


@pytest.mark.parametrize("missing", ["network", "weights", "num_features", "network_side", "mean", "std"])
def test_stored_values_are_checked_too(missing: str) -> None:
    stored: dict[str, object] = {**SPEC.to_json()}
    del stored[missing]
    with pytest.raises(InvalidParameter):
        extractor_from_json(stored)
    with pytest.raises(InvalidParameter):
        extractor_from_json({**stored, missing: ["a", "b", "c"]})


def test_all_of_it_is_known_without_torch() -> None:
    script = (
        "import json, sys\n"
        "from mlsession.extractors.catalog import extractor_from_json\n"
        "spec = extractor_from_json(json.loads(sys.argv[1]), 'w.pth')\n"
        "print(spec.dimension, spec.input_side, len(spec.identity) > 0)\n"
        "print([name for name in ('torch', 'torchvision', 'timm', 'PIL') if name in sys.modules])\n"
    )
    words = [sys.executable, "-c", script, json.dumps(SPEC.to_json())]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["512 256 True", "[]"]
