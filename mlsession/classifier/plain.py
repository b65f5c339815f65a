"""A classifier as a plain module of torch, which needs nothing of mlsession to run."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Literal, TypeAlias, get_args

from torch import fx, nn

from mlsession.classifier.model import ImageModel
from mlsession.errors import InvalidParameter

Output: TypeAlias = Literal["probabilities", "logits"]


def plain_module(model: ImageModel, output: Output = "probabilities") -> nn.Module:
    """float32 [N, 3, side, side] RGB pixels from 0 to 255 -> float32 [N, K]; see `Classifier.to_torch`.

    The modules of mlsession are written out as a graph (`torch.fx`) over layers of torch; networks of timm and
    torchvision stay modules of their libraries. Raises `InvalidParameter`, and what `load_extractor` raises.
    """
    if output not in get_args(Output):
        raise InvalidParameter("output", output, f"must be one of {', '.join(map(repr, get_args(Output)))}")
    parts = OrderedDict[str, nn.Module](network=model.exact_network(), head=model.head.module())
    if output == "probabilities":
        parts["probabilities"] = nn.Softmax(dim=1)
    whole = copy.deepcopy(nn.Sequential(parts))
    plain = fx.GraphModule(whole, _tracer().trace(whole), class_name="ImageClassifier")
    return plain.requires_grad_(True).eval()


def _tracer() -> fx.Tracer:
    """Looks into modules of mlsession, and containers of torch, alone."""

    # A class inside a function: of others a graph remembers the name, and then needs mlsession to be loaded again.
    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            made_by = type(module).__module__
            is_container = isinstance(module, nn.Sequential) and made_by.startswith("torch.nn.")
            return not (is_container or made_by.partition(".")[0] == "mlsession")

    return Tracer()
