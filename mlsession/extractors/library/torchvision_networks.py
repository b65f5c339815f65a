"""Networks of torchvision: their published weights, and what they are without a classifier."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn
from torchvision import models

from mlsession.errors import InvalidParameter
from mlsession.extractors.library.backbone import Backbone, misfit
from mlsession.extractors.library.hub import from_torch_hub

VERSION = f"torchvision {torchvision.__version__}"

_LEFT_OUT = frozenset({"googlenet", "inception_v3"})
"""Their published weights need colours that the networks change by themselves, others do not: a file cannot tell."""


def published(network: str) -> tuple[str, bytes]:
    """The file of weights that torchvision publishes for a network, and its bytes. Raises `ModelNotFound`."""
    return from_torch_hub(f"torchvision:{network}", _configuration(network).url)


def build(network: str, tensors: Mapping[str, torch.Tensor], location: str) -> Backbone:
    """The network with these weights, all of them and no others, and without its last linear layer.

    The classifier in `tensors` may have any number of classes, or be absent. Fills the network with random numbers on
    the way: see `random_generator_kept`. `location` is for messages. Raises `InvalidParameter`.
    """
    prepared = _configuration(network).transforms()
    (side,) = set(prepared.crop_size)
    architecture = network.partition(".")[0]
    fixed = {"image_size": side} if architecture.startswith("vit_") else {}
    model = models.get_model(architecture, weights=None, **fixed)
    classifier = drop_last_linear(model, f"torchvision:{network}")
    state = {name: value for name, value in tensors.items() if not name.startswith(f"{classifier}.")}
    if architecture.startswith("densenet"):
        # The published files name the layers of a block "norm.1", the network "norm1".
        state = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", name): value for name, value in state.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise misfit(f"torchvision:{network}", location, error) from error
    return Backbone(network=model, side=side, mean=tuple(prepared.mean), std=tuple(prepared.std))


def drop_last_linear(model: nn.Module, name: str) -> str:
    """Makes the last linear layer pass its input on, and says what it was called.

    Raises `InvalidParameter` where the network does not end in one; `name` is for the message.
    """
    linear: list[str] = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InvalidParameter(
            "feature_extractor", name, "has no linear layer to take features before; choose another network"
        )
    parent, _, child = linear[-1].rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return linear[-1]


def _configuration(network: str) -> Any:
    """The published weights that a network's name stands for; `resnet50.IMAGENET1K_V1` names one of several.

    Raises `InvalidParameter`.
    """
    architecture, _, tag = network.partition(".")
    names = [name for name in models.list_models(module=models) if name not in _LEFT_OUT]
    if architecture not in names:
        known = [f"torchvision:{name}" for name in difflib.get_close_matches(architecture, names, n=3)]
        meant = f"did you mean {' or '.join(known)}?" if known else f"choose one of {', '.join(names)}"
        raise InvalidParameter(
            "feature_extractor", f"torchvision:{network}", f"torchvision has no such network here; {meant}"
        )
    weights: Any = models.get_model_weights(architecture)
    if not tag:
        return weights.DEFAULT
    tags = [entry.name for entry in weights]
    if tag not in tags:
        known = [f"torchvision:{architecture}.{other}" for other in tags]
        raise InvalidParameter("feature_extractor", f"torchvision:{network}", f"choose one of {', '.join(known)}")
    return weights[tag]
