"""What the modules of the libraries hand over: a network without its classifier, and how it wants its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mlsession.errors import InvalidParameter
from mlsession.store import redact


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backbone:
    """float32 [N, 3, side, side], normalised, to features float32 [N, D]."""

    network: nn.Module
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def measured_dimension(self, name: str) -> int:
        """D, from one grey picture. Raises `InvalidParameter` where there is no vector of features."""
        with torch.inference_mode():
            found = self.network.eval()(torch.zeros(1, 3, self.side, self.side))
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 1:
            shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise InvalidParameter("feature_extractor", name, f"gives {shape}, not one vector of features a picture")
        return int(found.shape[1])


def misfit(name: str, location: str, error: Exception) -> InvalidParameter:
    """What to say of weights that are not those of a network."""
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return InvalidParameter(
        "weights", redact(location), f"they are not those of {name} ({reason}); give the file that belongs to it"
    )
