"""A network of one's own behind what is done to its pictures, as one graph of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from mlsession.errors import InvalidParameter
from mlsession.extractors.custom.input import PictureInput

Pick: TypeAlias = Callable[[Any], Tensor]
"""The tensor [N, ...] that is wanted, out of all that a network gives."""


class Prepared(nn.Module):
    """float32 [N, 3, side, side] in 0..255 (RGB) to features float32 [N, D]: crop and scaling inside.

    In evaluation mode for good, and without gradients.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, given: PictureInput, pick: Pick, name: str, most: int | None = None) -> None:
        """`name` is the model's, for messages; `most` how many pictures it takes at once, where it has a bound."""
        super().__init__()
        self.name = name
        self.network = network
        self.given = given
        self.pick = pick
        self.most = most
        for name, values in (("mean", given.mean), ("std", given.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1))
        self.requires_grad_(False)
        self.training = False

    def train(self, mode: bool = True) -> Self:
        """Nothing: programs of torch.export have no modes."""
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        return self.values(pictures).float().flatten(1)

    def values(self, pictures: Tensor) -> Tensor:
        """The output as the network gives it: [N, ...]."""
        given, size = self.given, self.given.batch
        last = given.first + given.network_side
        seen = pictures[:, :, given.first : last, given.first : last]
        if given.channels == "BGR":
            seen = torch.cat((seen[:, 2:3], seen[:, 1:2], seen[:, 0:1]), dim=1)
        scaled = (seen * given.scale - self.mean) / self.std
        seen = scaled if given.kind == "float32" else seen.to(torch.uint8)
        seen = (seen if given.layout == "NCHW" else seen.permute(0, 2, 3, 1)).contiguous()
        count: object = seen.shape[0]
        if size is None and self.most is None:
            return self.pick(self.network(seen))
        if type(count) is not int:  # In a graph whose number of pictures is free.
            bound = f"{size}" if size is not None else f"at most {self.most}"
            reason = f"takes {bound} at once, so it cannot be exported to a file that takes any number of pictures"
            cure = "export it as .mlmodel, .mlpackage or .safetensors, or give a model that takes any number"
            raise InvalidParameter("feature_extractor", self.name, f"{reason}; {cure}")
        if count == size or (size is None and self.most is not None and count <= self.most):
            return self.pick(self.network(seen))
        if size is None:
            return torch.cat([self.pick(self.network(part)) for part in torch.split(seen, self.most or count)])
        return torch.cat([self._part(seen[start : start + size], size) for start in range(0, len(seen), size)])

    def _part(self, part: Tensor, size: int) -> Tensor:
        missing = size - len(part)
        filled = torch.cat((part, part.new_zeros((missing, *part.shape[1:])))) if missing else part
        return self.pick(self.network(filled))[: len(part)]


def outputs_of(found: Any) -> Mapping[str, Any]:
    """What a network gives, by name: "output" for one tensor, the keys of a mapping, else places from "0" on."""
    if isinstance(found, Tensor):
        return {"output": found}
    if isinstance(found, Mapping):
        return {str(name): value for name, value in found.items()}
    if isinstance(found, tuple | list):
        return {str(place): value for place, value in enumerate(found)}
    return {}
