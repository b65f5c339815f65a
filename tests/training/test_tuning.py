"""What a network is tuned with is recorded, and told where it is another now."""

from __future__ import annotations

import pytest

import mlsession as ml
from mlsession.augment import identity
from mlsession.augment.identity import augmenter_identity
from mlsession.errors import UsageError
from mlsession.events import Event, NumericsChanged
from mlsession.session.phase import Json
from mlsession.training.tuning import FINETUNING, recorded_tuning, tuning_here


def tuned(*augmentation: str, session: tuple[str, ...] = ()) -> ml.ModelParameters:
    """Fine-tuning with these changes to images, in a session with others."""
    chosen = augmentation or None
    return ml.ModelParameters(algorithm=ml.FineTune(augmentation=chosen), augmentation=session, accelerator="cpu")


def members(parameters: ml.ModelParameters) -> dict[str, Json]:
    found = tuning_here(parameters)[FINETUNING]
    assert isinstance(found, dict)
    return found


def test_what_changes_the_images_of_an_epoch_is_recorded_also_without_views() -> None:
    for parameters in (tuned("rotate"), tuned("crop", "noise"), tuned(session=("blur",))):
        assert members(parameters)["augmenter"] == augmenter_identity()
    for parameters in (tuned(), tuned("crop", "flip"), tuned("flip", session=("blur",))):
        assert "augmenter" not in members(parameters), "cuts and flips are ours"


def test_another_one_is_told() -> None:
    parameters, events = tuned("rotate"), list[Event]()
    here = members(parameters)
    recorded_tuning({FINETUNING: here}, parameters, events.append)
    assert events == []
    then: dict[str, Json] = {"augmenter": "effects/1 albumentations 2.0.7 opencv 4.10", "decoder": "slate 1.0"}
    recorded_tuning({FINETUNING: {**here, **then}}, parameters, events.append)
    told = {event.what: (event.original, event.new) for event in events if isinstance(event, NumericsChanged)}
    assert told == {f"finetuning.{name}": (then[name], here[name]) for name in then}


def test_without_the_library_it_is_said_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install 'albumentations"):
        tuning_here(tuned("rotate"))
    tuning_here(tuned("crop"))
