"""The graph of a trained network, by torch.export, for the formats that take pictures of any size and number."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch

from mlsession.coreml.silence import silenced
from mlsession.errors import InvalidParameter
from mlsession.export.metadata import check_text
from mlsession.export.scaling import AnySize

IMAGE_INPUT = "image"
PROBABILITY_OUTPUT = "probabilities"

_SIZES = ("height", "width")
_MOST_PIXELS = 2**24
"""Along one side: what float32 counts exactly, as the scaling does. Without a bound torch 2.6 finds one itself."""
_MOST_PICTURES = 2**31 - 1

_LOGGERS = (
    *("torch.onnx", "torch.onnx._internal.exporter._schemas", "torch.export", "torch.fx", "onnxscript", "onnx_ir"),
    # Torch 2.6 warns here of guards that concern its own tracing; answers are compared for many sizes afterwards.
    "torch.fx.experimental.symbolic_shapes",
)


def captured(
    network: torch.nn.Module, labels: Sequence[str], side: int, *, channels_last: bool, others: str
) -> torch.export.ExportedProgram:
    """A network as a graph from pictures of any size, `image`: uint8 [N, 3, H, W], or [N, H, W, 3], to [N, K].

    `network` maps float32 [N, 3, side, side] RGB pixels from 0 to 255 to class probabilities [N, K]; it is not changed,
    whatever device and mode it is in. N, H and W are free from 1 on; scaling is inside, see `scaling`. No path of this
    machine is in it. `others` are formats to name where it cannot be captured.

    Raises `InvalidParameter` for labels that are not all text and different, for a network of another shape, and for
    one that torch.export cannot capture.
    """
    check_labels(labels)
    whole = AnySize(plain_copy(network, labels, side), side, channels_last=channels_last).eval()
    example = torch.zeros((2, 5, 6, 3) if channels_last else (2, 3, 5, 6), dtype=torch.uint8)
    first = 1 if channels_last else 2
    free = {0: torch.export.Dim("batch", min=1, max=_MOST_PICTURES)}
    free |= {first + place: torch.export.Dim(name, min=1, max=_MOST_PIXELS) for place, name in enumerate(_SIZES)}
    with refusing(network, "torch.export cannot capture it for pictures of any size and number", others), quiet():
        with torch.no_grad():
            program = torch.export.export(whole, (example,), dynamic_shapes={IMAGE_INPUT: free}, strict=False)
        for module in program.graph_module.modules():
            for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                node.meta.pop("stack_trace", None)  # It names the files of whoever exports.
    return program


def plain_copy(network: torch.nn.Module, labels: Sequence[str], side: int) -> torch.nn.Module:
    """A copy of a network on the CPU: float32, plain layout in memory, evaluation mode, no gradients.

    Raises `InvalidParameter` for a side without pixels, and unless it gives one number for each label.
    """
    if side < 1:
        raise InvalidParameter("side", side, "must be a number of pixels, 1 or more")
    plain = copy.deepcopy(network).to(device="cpu", dtype=torch.float32).to(memory_format=torch.contiguous_format)
    plain.eval().requires_grad_(False)
    with torch.no_grad():
        found = tuple(plain(torch.zeros(1, 3, side, side)).shape)
    if found != (1, len(labels)):
        reason = f"gives {list(found)} for one picture and {len(labels)} labels; it must give [1, {len(labels)}]"
        raise InvalidParameter("network", type(network).__name__, reason)
    return plain


def check_labels(labels: Sequence[str]) -> None:
    """Raise `InvalidParameter` unless they are two texts or more, each once."""
    if len(labels) < 2:
        raise InvalidParameter("labels", tuple(labels), "a classifier needs two labels or more")
    seen = set[str]()
    for label in labels:
        check_text("labels", label)
        if label in seen:
            raise InvalidParameter("labels", label, "stands for two classes; rename one of them")
        seen.add(label)


@contextmanager
def refusing(network: torch.nn.Module, what: str, others: str) -> Iterator[None]:
    """Turns whatever a converter raises into `InvalidParameter`: `what`, its cause, and the `others` to export as."""
    try:
        yield
    except (MemoryError, OSError, InvalidParameter):
        raise
    except Exception as error:  # the converters raise whatever their parts raise
        cause = str(error).strip().partition("\n")[0] or type(error).__name__
        reason = f"{what}: {cause}; export it as {others} instead"
        raise InvalidParameter("network", type(network).__name__, reason) from error


def quiet() -> AbstractContextManager[None]:
    """Torch's converters without their chatter; see `silence`."""
    return silenced(*_LOGGERS)
