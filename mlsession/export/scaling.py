"""A classifier that takes pictures of any size: the geometry of `mlsession.images.geometry` as tensor operations.

Pillow's antialiased resampling (Catmull and Smith's two passes: first along the rows, then along the columns, with
a kernel as wide as the reduction asks for) is linear in the pixels of a row, so it is one matrix for each direction.
The matrices follow from the picture's size inside the graph, by operators that every format has; resize operators of
the formats disagree about antialiasing, rounding and where a fraction of a pixel lies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AnySize(nn.Module):
    """uint8 pictures of any one size, RGB -> what `network` gives for their squares.

    [N, 3, H, W], or with `channels_last` [N, H, W, 3], as decoders give pictures. `network` takes float32
    [N, 3, side, side] from 0 to 255.
    """

    def __init__(self, network: nn.Module, side: int, *, channels_last: bool) -> None:
        super().__init__()
        self.network = network
        self.side = side
        self.channels_last = channels_last

    def forward(self, image: Tensor) -> Tensor:
        pictures = image.permute(0, 3, 1, 2) if self.channels_last else image
        answer: Tensor = self.network(squares(pictures, self.side))
        return answer


def squares(pictures: Tensor, side: int) -> Tensor:
    """Short side to `side`, antialiased bilinear, and the centre: uint8 [N, 3, H, W] -> float32 [N, 3, side, side].

    The values are whole numbers from 0 to 255, at most one away from those of `images.geometry.to_square`: both round
    after each pass, but Pillow counts in multiples of 2**-22, and from release 13 on takes the columns of some tall
    pictures first.
    """
    height, width = pictures.shape[-2:]
    exact = _number(height), _number(width)
    short = torch.minimum(*exact)
    # Plain products of two matrices: any other kind is taken apart by older versions of torch, which then fail on sizes
    # that are free.
    rows = pictures.reshape(-1, width).to(torch.float32)
    rows = _rounded(torch.mm(rows, _shares(width, exact[1], short, side).T))
    columns = rows.reshape(-1, height, side).transpose(1, 2).reshape(-1, height)
    columns = _rounded(torch.mm(columns, _shares(height, exact[0], short, side).T))
    return columns.reshape(-1, 3, side, side).transpose(2, 3)


def _shares(length: int, exact: Tensor, short: Tensor, side: int) -> Tensor:
    """What each of `length` pixels gives to each of `side`, cut from the middle: float32 [side, length].

    `exact` and `short` are float32 [1]: the length, and that of the picture's shorter side.
    """
    margin = exact - short
    first = torch.floor(margin / 2)
    # From the first whole pixel of the square on, so that numbers are small where a fraction of a pixel counts.
    places = torch.arange(length, dtype=torch.float32) - first + 0.5
    step = short / side
    centres = (torch.arange(side, dtype=torch.float32) + 0.5) * step + (margin / 2 - first)
    distances = (places.unsqueeze(0) - centres.unsqueeze(1)).abs() / step.clamp(min=1.0)
    shares = torch.relu(1.0 - distances)
    return shares / shares.sum(dim=1, keepdim=True)


def _number(length: int) -> Tensor:
    """float32 [1]: as a tensor it stays part of the graph, where a number would become a constant."""
    return torch.full((1,), length, dtype=torch.float32)


def _rounded(values: Tensor) -> Tensor:
    """Halves go up, as Pillow has it after each of its passes."""
    return torch.floor(values + 0.5)
