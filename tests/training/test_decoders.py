"""What decodes, in whole sessions: the CPU in the GPU's place."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.events import NumericsChanged
from mlsession.extractors.running import decoding, runtime
from mlsession.extractors.running.batched import picture_numerics
from mlsession.extractors.trying import decided_decoder
from mlsession.session.phase import Json
from mlsession.training import numerics_id
from tests.extractors.devices import GPU
from tests.extractors.test_trying import Missing, Shifting, probing
from tests.photos import copy_photos

from .conftest import LABELS, UNTUNED, Start

pytestmark = pytest.mark.filterwarnings("ignore:.*TorchVision are:DeprecationWarning")

EXACT = replace(UNTUNED, precision="float32", max_iterations=3, validation=ml.Validation.none())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "gpu_here", lambda accelerator: None if accelerator == "cpu" else GPU)
    monkeypatch.setattr(runtime, "GPU_BATCH_SIZE", 4)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("few") / "train", "train", 4, LABELS[:2])


def numerics(session: Path) -> dict[str, Json]:
    found = ml.Classifier.restore_training_session(ml.SessionParameters(session))
    try:
        return dict(found.identity.numerics)
    finally:
        found.close()


def decoder(session: Path) -> str:
    extractor = numerics(session)["extractor"]
    assert isinstance(extractor, dict)
    return str(extractor["decoder"])


@pytest.mark.usefixtures("gpu")
def test_a_gpu_decodes_if_it_is_asked_to_and_the_photos_say_that_it_may(
    start: Start, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(EXACT, decoder="nvjpeg")
    job = start(few, parameters=asked, cache=None)
    first = job.result()
    assert not [event for event in job.events() if isinstance(event, NumericsChanged)]
    assert decoder(tmp_path / "session").startswith("nvjpeg torchvision ")
    tried = numerics(tmp_path / "session")["decoding"]
    assert isinstance(tried, dict)
    assert tried["photos"] == 8
    elsewhere = start(few, parameters=asked, cache=None, session=tmp_path / "other").result()
    assert elsewhere.model_digest == first.model_digest
    # Where it has gone since, what is new is decoded by Pillow, and that is told.
    monkeypatch.setattr(decoding, "DeviceDecoder", Missing)
    late = start(few, parameters=asked, cache=None, testing=few)
    late.result()
    changed = [event.what for event in late.events() if isinstance(event, NumericsChanged)]
    assert changed == ["extractor.decoder"]


@pytest.mark.usefixtures("gpu")
def test_unasked_pillow_does_and_a_flaw_is_an_error(
    start: Start, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics_id, "decided_decoder", partial(decided_decoder, probing=probing(Shifting)))
    start(few, parameters=EXACT, cache=None).result()
    assert decoder(tmp_path / "session") == picture_numerics()["decoder"]
    assert "decoding" not in numerics(tmp_path / "session")
    with pytest.raises(IncompatibleParameters, match="decoder"):
        start(few, parameters=replace(EXACT, decoder="nvjpeg"), cache=None).result()
    with pytest.raises(InvalidParameter, match="decoder='nvjpeg': changes features"):
        start(few, parameters=replace(EXACT, decoder="nvjpeg"), session=tmp_path / "asked", cache=None).result()
    assert not (tmp_path / "asked" / "log").exists()


def test_on_the_cpu_a_session_says_nothing_new(start: Start, few: Path, tmp_path: Path) -> None:
    start(few).result()
    found = numerics(tmp_path / "session")
    assert decoder(tmp_path / "session") == picture_numerics()["decoder"]
    assert set(found) == {"extractor", "training"}
    assert "decoder" not in UNTUNED.to_json()
    with pytest.raises(InvalidParameter, match=r"decoder='nvjpeg': .*runs on cpu; leave it out"):
        start(few, parameters=replace(UNTUNED, decoder="nvjpeg"), session=tmp_path / "other").result()
    with pytest.raises(InvalidParameter, match="decoder='fast': must be one of auto, pillow, nvjpeg"):
        replace(UNTUNED, decoder="fast")  # type: ignore[arg-type]
    given = replace(UNTUNED, decoder="pillow")
    assert ml.ModelParameters.from_json(given.to_json(), {}).decoder == "pillow"
