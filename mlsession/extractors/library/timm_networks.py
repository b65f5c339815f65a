"""Networks of timm: their published weights, and what they are without a classifier."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.data.config import resolve_model_data_config

from mlsession.errors import InvalidParameter, ModelNotFound
from mlsession.extractors.library.backbone import Backbone, misfit
from mlsession.extractors.library.hub import from_hugging_face, from_torch_hub

VERSION = f"timm {timm.__version__}"


def published(network: str) -> tuple[str, bytes]:
    """The file of weights that timm publishes for a network, and its bytes. Raises `ModelNotFound`."""
    configuration = _configuration(network)
    name = f"timm:{network}"
    if configuration.hf_hub_id:
        given = configuration.hf_hub_filename
        safe = given.replace("pytorch_model.bin", "model.safetensors") if given else "model.safetensors"
        files = tuple(dict.fromkeys((safe, given or "pytorch_model.bin")))
        return from_hugging_face(name, configuration.hf_hub_id, files)
    if configuration.url:
        return from_torch_hub(name, configuration.url)
    raise ModelNotFound(f"{name}: timm publishes no weights for it; give some: weights=FILE (--extractor-weights FILE)")


def build(network: str, tensors: Mapping[str, torch.Tensor], location: str) -> Backbone:
    """The network with these weights, all of them and no others, and without its classifier.

    The classifier in `tensors` may have any number of classes, or be absent. Fills the network with random numbers on
    the way: see `random_generator_kept`. `location` is for messages. Raises `InvalidParameter`.
    """
    configuration = _configuration(network)
    model = _with_weights(network, configuration, tensors, location)
    model.reset_classifier(0)
    data = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    channels, height, width = data["input_size"]
    if channels != 3 or height != width:
        raise InvalidParameter(
            "feature_extractor", f"timm:{network}", f"sees {channels} channels of {width}x{height}, not an RGB square"
        )
    return Backbone(network=model, side=height, mean=tuple(data["mean"]), std=tuple(data["std"]))


def _with_weights(network: str, configuration: Any, tensors: Mapping[str, torch.Tensor], location: str) -> Any:
    classifier = configuration.classifier
    first = classifier[0] if isinstance(classifier, (tuple, list)) else classifier
    last = tensors.get(f"{first}.weight")
    # Weights in another author's naming are renamed by timm, so a classifier may be there and not be found here.
    choices = (configuration.num_classes, 0) if last is None else (len(last),)
    for classes in choices:
        # Weights given as a state go through timm's own renaming, and nothing is fetched for them.
        overlay = {"state_dict": dict(tensors), "num_classes": classes, "label_offset": 0, "source": ""}
        try:
            return timm.create_model(network, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay)
        except Exception as error:  # Each network's renaming fails in its own way on what it was not made for.
            failure = error
    raise misfit(f"timm:{network}", location, failure) from failure


def _configuration(network: str) -> Any:
    """What timm says of a network and its weights. Raises `InvalidParameter` for one that it does not have."""
    architecture, _, tag = network.partition(".")
    if timm.is_model(architecture):
        tags = _tags(architecture)
        if not tag or tag in tags:
            return timm.get_pretrained_cfg(network)
        near = difflib.get_close_matches(tag, tags, n=1, cutoff=0.0) or [""]
        known = [f"timm:{architecture}.{other}" for other in dict.fromkeys((near[0], *tags))][:3]
    else:
        known = [f"timm:{other}" for other in difflib.get_close_matches(architecture, timm.list_models(), n=3)]
    meant = f"did you mean {' or '.join(known)}?" if known else "timm.list_models() lists them"
    raise InvalidParameter("feature_extractor", f"timm:{network}", f"timm has no such network; {meant}")


def _tags(architecture: str) -> tuple[str, ...]:
    names = timm.list_models(f"{architecture}.*", pretrained=True)
    return tuple(name.partition(".")[2] for name in names)
