"""Functions of torch that networks are made of, for the tests of the evaluators of Core ML's two forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

CHANNELS, SIDE = 4, 9
VECTOR = torch.arange(CHANNELS) + 0.5
PLANES = VECTOR.view(1, CHANNELS, 1, 1)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module with random numbers in every parameter and buffer; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module = make().eval()
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                value.uniform_(0.2, 1.5).mul_(torch.where(torch.rand(value.shape) < 0.5, -1.0, 1.0))
        for name, value in module.named_buffers():
            if name.endswith("running_var"):
                value.abs_()
    return module


class ChannelsLast(nn.Module):
    """[N, C, H, W] -> [N, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class Tokens(nn.Module):
    """[N, C, H, W] -> [N, H * W, C], as a ViT has them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    "padded": lambda: nn.Conv2d(CHANNELS, 6, 3, padding=1),
    "dilated": lambda: nn.Conv2d(CHANNELS, 6, 3, stride=2, dilation=2, bias=False),
    "oblong": lambda: nn.Conv2d(CHANNELS, 6, (1, 5), stride=(2, 1), padding=(0, 2)),
    "depthwise": lambda: nn.Conv2d(CHANNELS, 8, 3, groups=CHANNELS),
    "grouped": lambda: nn.Conv2d(CHANNELS, 6, 3, groups=2),
    "same": lambda: nn.Conv2d(CHANNELS, 6, 3, padding="same", dilation=2),
    "with batch normalisation": lambda: nn.Sequential(nn.Conv2d(CHANNELS, 6, 3), nn.BatchNorm2d(6)),
}

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{f"convolution {name}": seeded(make) for name, make in CONVOLUTIONS.items()},
    "batchnorm": nn.Sequential(nn.ReLU(), seeded(lambda: nn.BatchNorm2d(CHANNELS))),
    "max pooling": nn.MaxPool2d(3, 2, 1),
    "max pooling, rounded up": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "mean pooling, rounded up": nn.AvgPool2d(3, 3, ceil_mode=True),
    "mean pooling": nn.AvgPool2d(3, 2, 1),
    "mean pooling without padding": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "global mean": lambda x: F.adaptive_avg_pool2d(x, 1),
    "global maximum": lambda x: x.amax((2, 3), keepdim=True),
    "mean over height and width": lambda x: x.mean((2, 3)),
    "mean over channels": lambda x: x.mean(1),
    "mean over channels, one left": lambda x: x.mean(1, keepdim=True),
    "mean of all": lambda x: x.mean(),
    "relu": F.relu,
    "relu6": F.relu6,
    "ReLU6": nn.ReLU6(),
    "leaky relu": lambda x: F.leaky_relu(x, 0.1),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard sigmoid": F.hardsigmoid,
    "hard swish": F.hardswish,
    "silu": F.silu,
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "abs": torch.abs,
    "sqrt": lambda x: torch.sqrt(x * x + 1),
    "rsqrt": lambda x: torch.rsqrt(x * x + 1),
    "exp": torch.exp,
    "log": lambda x: torch.log(x * x + 1),
    "cube": lambda x: x**3,
    "sum of two": lambda x: F.relu(x) + torch.tanh(x),
    "plus a number": lambda x: x + 1.5,
    "times a number": lambda x: x * 1.5,
    "a number minus": lambda x: 2 - x,
    "divided by a number": lambda x: x / 3,
    "plus a constant": lambda x: x + PLANES,
    "minus a constant": lambda x: x - PLANES,
    "divided by a constant": lambda x: x / PLANES,
    "times a row": lambda x: x * torch.linspace(0, 1, SIDE),
    "broadcast sum": lambda x: x[:, :1] + x[:, :, :1],
    "broadcast difference": lambda x: x[:, :1] - x[:, :, :1],
    "broadcast product": lambda x: x[:, :1] * x[:, :, :1],
    "broadcast quotient": lambda x: x[:, :1] / (x[:, :, :1] ** 2 + 1),
    "scaled by its mean": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "zeros around": lambda x: F.pad(x, (0, 1, 2, 3)),
    "twos around": lambda x: F.pad(x, (0, 1, 2, 3), value=2.0),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect"),
    "replicated": lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate"),
    "cropped": lambda x: x[:, :, 2:7, 1:8],
    "cropped from the end": lambda x: x[:, :, :-2],
    "every second row": lambda x: x[:, :, 1::2],
    "two channels": lambda x: x[:, 1:3],
    "flattened": lambda x: x.flatten(1),
    "reshaped": lambda x: x.reshape(1, 2, 2 * SIDE, SIDE),
    "squeezed": lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1),
    "linear": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), seeded(lambda: nn.Linear(CHANNELS, 5))),
    "linear without bias": nn.Sequential(nn.Flatten(), seeded(lambda: nn.Linear(CHANNELS * SIDE**2, 3, bias=False))),
    "standardised": lambda x: (x.mean((2, 3)) - VECTOR) / (VECTOR + 1),
    "transposed": lambda x: x.permute(0, 2, 3, 1),
    "product of matrices": lambda x: torch.matmul(x, torch.tanh(x).transpose(-1, -2)),
    "linear over channels": nn.Sequential(ChannelsLast(), seeded(lambda: nn.Linear(CHANNELS, 5))),
    "layer normalisation": nn.Sequential(ChannelsLast(), seeded(lambda: nn.LayerNorm(CHANNELS))),
    "layer normalisation of tokens": nn.Sequential(Tokens(), seeded(lambda: nn.LayerNorm(CHANNELS))),
    "linear over tokens": nn.Sequential(Tokens(), seeded(lambda: nn.Linear(CHANNELS, 5))),
    "one token": lambda x: x.flatten(2).transpose(1, 2)[:, 2],
    "all tokens but one, every second": lambda x: x.flatten(2).transpose(1, 2)[:, 1::2],
    "the first row": lambda x: x[:, :, 0],
    "split and added": lambda x: torch.add(*torch.split(x, 2, 1)),
    "one part of two": lambda x: x.flatten(2).chunk(2, 1)[1],
    "unequal parts": lambda x: torch.split(x.flatten(2), [1, 3], 1)[1],
    "unbound": lambda x: x.reshape(2, 2, SIDE, SIDE).unbind(0)[1],
    "joined tokens": lambda x: torch.cat((x.flatten(2)[:, :1] * 0 + 1, x.flatten(2)), 1),
    "joined over width": lambda x: torch.cat((x, torch.tanh(x)), 3),
    "channels in turns": lambda x: torch.stack((x, torch.tanh(x)), 2).flatten(1, 2),
    "gelu": F.gelu,
    "sum over height": lambda x: x.sum(2),
    "maximum over width": lambda x: x.amax(3),
    "joined channels": lambda x: torch.cat((F.relu(x), torch.tanh(x), x), 1),
    "softmax": lambda x: torch.softmax(4 * x.mean((2, 3)), 1),
    "softmax over width": lambda x: torch.softmax(x, -1),
}


class AllFunctions(nn.Module):
    """Every function of the same input: one conversion is much quicker than one for each."""

    def __init__(self, functions: Iterable[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.functions = tuple(functions)
        self.parts = nn.ModuleList(each for each in self.functions if isinstance(each, nn.Module))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function in self.functions)


def example() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


class Mixed(nn.Module):
    """A layer, or operation, of each kind with parameters of its own, and few weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.MaxPool2d(8), nn.ReLU6(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 3, 2))
        for value in self.layers.parameters():
            nn.init.constant_(value, 0.1)

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.softmax(self.layers(pixels[:, :, 2:-2]).mean(dim=(2, 3)), dim=1)
