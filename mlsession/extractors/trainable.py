"""The networks behind extractors as networks to be tuned: the same function, with parameters that take gradients.

Nothing in them is random and nothing depends on a batch: batch normalisation keeps the statistics that it came with
(its scale and offset are tuned where it is not folded into a convolution, as it is in mlsession's own networks), and
dropout and stochastic depth are off. So the output for a picture is a function of the picture and the parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

from torch import nn

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.embedded.extractor import EmbeddedExtractor
from mlsession.extractors.embedded.lite import build_network
from mlsession.extractors.embedded.plan import plan_of
from mlsession.extractors.embedded.weights import folded_kernels, published_tensors
from mlsession.extractors.library.extractor import LibraryExtractor
from mlsession.extractors.network import Framed, frozen, retuned
from mlsession.extractors.tuned import TunedExtractor

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def trainable_network(spec: FeatureExtractorSpec) -> nn.Module:
    """float32 [N, 3, input_side, input_side] in 0..255 (RGB) to features float32 [N, D], on the CPU.

    The crop to the network's own input and the normalisation are inside. All parameters are float32 and require
    gradients; the network shares them with no other. It comes in training mode: call `eval()` to measure and `train()`
    before going on, since some networks keep what they have computed from their parameters while they are in
    evaluation mode. The mode changes nothing else, see above.

    Raises `InvalidParameter` for an extractor that brings its own network along, and what `load_extractor` raises.
    """
    return _network(spec).requires_grad_(True).train()


def depths(network: nn.Module) -> dict[str, int]:
    """For each parameter of a network that `trainable_network` made its depth: 0 at the input, then one by one.

    A depth is a block as networks repeat them (a residual block, a layer of a transformer), or a single layer outside
    of them; a normalisation outside of blocks belongs to the layer before it. In the order in which the network's
    modules were registered, which is that in which they are run in all but a few.
    """
    found: dict[str, int] = {}
    depth = -1
    for names, is_layer in _parts("", network, is_opened=True):
        depth += is_layer
        found.update(dict.fromkeys(names, max(depth, 0)))
    return {name: found[name] for name, _ in network.named_parameters()}


def blocks(network: nn.Module) -> tuple[nn.Module, ...]:
    """The blocks of a network that `trainable_network` made, in order; see `depths`. None holds another one."""
    return tuple(_blocks(network, is_opened=True))


class _Steady(Framed):
    """A network of a library in which nothing is random, in either mode."""

    def train(self, mode: bool = True) -> Self:
        super().train(False)
        if mode:
            for module in _keepers(self):
                module.train(True)  # It forgets what it has kept.
            keepers = set(_keepers(self))
            for module in self.modules():
                module.training = module in keepers
        self.training = mode
        return self


def _keepers(network: nn.Module) -> list[nn.Module]:
    """The modules inside that do something of their own when the mode changes.

    Those of timm that do keep attention biases, made of parameters, while they are in evaluation mode.
    """
    return [module for module in network.modules() if module is not network and type(module).train is not _TRAIN]


_TRAIN = nn.Module.train


def _network(spec: FeatureExtractorSpec) -> nn.Module:
    if isinstance(spec, TunedExtractor):
        return retuned(_network(spec.base), spec.tensors, spec.name)
    if isinstance(spec, EmbeddedExtractor):
        plan = plan_of(spec.variant)
        return copy.deepcopy(build_network(spec.variant, folded_kernels(plan, published_tensors(spec.variant))))
    if isinstance(spec, LibraryExtractor):
        from mlsession.extractors.library.networks import backbone_of

        return frozen(_Steady(backbone_of(spec).network, spec.network_side, spec.mean, spec.std))
    reason = "brings its own network along, which cannot be fine-tuned; choose scene_print, lite1 or one of a library"
    raise InvalidParameter("feature_extractor", spec.name, reason)


def _parts(path: str, module: nn.Module, *, is_opened: bool = False) -> Iterator[tuple[list[str], bool]]:
    """The names of the parameters of each part in order, and whether it is a layer or more; see `depths`."""
    if not (is_opened or isinstance(module, _CONTAINERS) or _holds_blocks(module)):
        named = dict(module.named_parameters(prefix=path))
        yield list(named), any(parameter.ndim > 1 for parameter in named.values())
        return
    yield [name for name, _ in module.named_parameters(prefix=path, recurse=False)], False
    for name, child in module.named_children():
        yield from _parts(f"{path}.{name}" if path else name, child, is_opened=isinstance(module, Framed))


def _blocks(module: nn.Module, *, is_opened: bool = False) -> Iterator[nn.Module]:
    if is_opened or isinstance(module, _CONTAINERS) or _holds_blocks(module):
        for child in module.children():
            yield from _blocks(child, is_opened=isinstance(module, Framed))
    elif _is_block(module):
        yield module


def _holds_blocks(module: nn.Module) -> bool:
    """Whether somewhere inside two or more blocks follow each other."""
    containers = (child for child in module.modules() if child is not module and isinstance(child, _CONTAINERS))
    return any(sum(map(_is_block, container.children())) > 1 for container in containers)


def _is_block(module: nn.Module) -> bool:
    """Whether it has two layers or more."""
    layers = (child for child in module.modules() if any(each.ndim > 1 for each in child.parameters(recurse=False)))
    return next(layers, None) is not None and next(layers, None) is not None
