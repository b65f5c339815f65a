"""Programs of torch.export and modules of the caller as models of one's own, run by torch on the CPU.

Both run code that they bring along, torch's own words for `torch.export.load` are never to load what one does not
trust; `custom` says who may name them.
"""

from __future__ import annotations

import copy
import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mlsession.coreml.silence import silenced
from mlsession.errors import InvalidParameter, ModelNotFound
from mlsession.extractors.custom.files import digest_of
from mlsession.extractors.custom.input import Declared, InputOptions, PictureInput, picture_input
from mlsession.extractors.custom.model import Floats, Opened, Pictures, chosen_output
from mlsession.extractors.library.extractor import TENSORS
from mlsession.extractors.network import random_generator_kept
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.prepared import Prepared, outputs_of
from mlsession.extractors.weights import tensors_digest

_NO_BOUND = 2**31 - 1
"""What torch takes for any size, or more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchModel:
    """`OwnModel` for a network of torch."""

    shown: str
    weights: str
    network: nn.Module
    declared: Declared
    most: int | None = None
    """How many pictures it takes at once, where that is free but has a bound."""

    @property
    def batch(self) -> int | None:
        return self.declared.shape[0] if self.declared.shape else None

    def picture(self, options: InputOptions) -> PictureInput:
        if self.declared.kind == "float16":  # Exports compute in float32, and its graph would mix the two.
            reason = f"its input {self.declared.name!r} is float16; export it in float32: network.float()"
            raise InvalidParameter("feature_extractor", self.shown, reason)
        return picture_input(self.declared, options, self.shown)

    def output(self, asked: str | None, given: PictureInput) -> str:
        """Runs it on one black picture."""
        seen = list[object]()

        def pick(found: object) -> Tensor:
            seen.append(found)
            return torch.zeros(1, 1)

        picture = torch.zeros(1, 3, given.side, given.side)
        run_prepared(Prepared(self.network, given, pick, self.shown, self.most), picture)
        named = outputs_of(seen[0])
        tensors = [name for name, value in named.items() if _is_usable(value)]
        others = [name for name in named if name not in tensors]
        return chosen_output(asked, tensors, self.shown, others=others)

    def opened(self, output: str, given: PictureInput) -> Opened:
        def pick(found: object) -> Tensor:
            taken = outputs_of(found)[output]
            assert isinstance(taken, Tensor)
            return taken

        return opened_network(Prepared(self.network, given, pick, self.shown, self.most))


def opened_network(network: Prepared) -> Opened:
    """A network of torch, run in the calling thread alone."""

    def values(batch: Pictures) -> Floats:
        pictures = torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32)
        return run_prepared(network, pictures).float().numpy()

    return Opened(values=values, network=lambda: network)


def run_prepared(network: Prepared, pictures: Tensor) -> Tensor:
    """`Prepared.values`. Raises `InvalidParameter` where the network fails."""
    try:
        with torch_numerics(1), torch.inference_mode():
            return network.values(pictures)
    except (MemoryError, InvalidParameter):
        raise
    except Exception as error:  # Whatever the network is made of.
        side, layout = network.given.network_side, network.given.layout
        how = f"it fails on a picture of {side} x {side} pixels ({layout}, {network.given.kind}): {_first_line(error)}"
        raise InvalidParameter("model_path", network.name, f"{how}; see input_side and layout") from error


def read_program(files: Mapping[str, bytes], shown: str) -> TorchModel:
    """A `.pt2` file. Raises `InvalidParameter` for another one, and for a program without one input."""
    try:
        with silenced("torch.export", "torch.fx"):
            program = torch.export.load(io.BytesIO(files[""]))
            network = program.module()
    except Exception as error:  # It raises whatever its parts raise.
        reason = (
            f"cannot be loaded by torch {torch.__version__}: {_first_line(error)}; export it again, by this version"
        )
        raise InvalidParameter("model_path", shown, reason) from error
    names = program.graph_signature.user_inputs
    found = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    values = {str(name): found.get(str(name)) for name in names}
    if len(values) != 1 or not isinstance(value := next(iter(values.values())), Tensor):
        raise InvalidParameter("model_path", shown, f"must have one input, a picture; it has {', '.join(values) or 0}")
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    declared = Declared(name=next(iter(values)), shape=shape, kind=str(value.dtype).removeprefix("torch."))
    most = _bound(program, value.shape[0]) if shape else None
    return TorchModel(shown=shown, weights=digest_of(files), network=network, declared=declared, most=most)


def _bound(program: torch.export.ExportedProgram, size: object) -> int | None:
    """The most that a free size of a program may be; None without one."""
    if not isinstance(size, torch.SymInt):
        return None
    found = program.range_constraints.get(size.node.expr)
    if found is None or not found.upper.is_Integer:
        return None
    return int(found.upper) if int(found.upper) < _NO_BOUND else None


def read_module(reference: str) -> TorchModel:
    """What a module reference names: a module of torch, or what gives one when it is called without arguments.

    Only ever called with what this process's caller typed. Raises `ModelNotFound` where there is none, and
    `InvalidParameter` for anything else.
    """
    module, _, path = reference.partition(":")
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        cure = "install the package, or add its folder to PYTHONPATH"
        raise ModelNotFound(f"{reference}: there is no module {error.name!r} here; {cure}") from error
    except Exception as error:  # Whatever it does when it is imported.
        raise InvalidParameter("model_path", reference, f"cannot be imported: {_first_line(error)}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ModelNotFound(f"{reference}: there is no {path!r} in {module}; correct the name")
        found = getattr(found, name)
    if isinstance(found, nn.Module):
        found = copy.deepcopy(found)  # It stays as it is to others.
    else:
        if not callable(found):
            raise InvalidParameter("model_path", reference, f"is a {type(found).__name__}, not a module of torch")
        with random_generator_kept():
            try:
                found = found()
            except TypeError as error:
                reason = f"must give a module of torch when it is called without arguments: {_first_line(error)}"
                raise InvalidParameter("model_path", reference, reason) from error
            except Exception as error:
                raise InvalidParameter("model_path", reference, f"cannot be made: {_first_line(error)}") from error
    if not isinstance(found, nn.Module):
        raise InvalidParameter("model_path", reference, f"gives a {type(found).__name__}, not a module of torch")
    # Buffers that a state leaves out count in what it computes, too.
    held = {**dict(found.named_buffers(remove_duplicate=False)), **found.state_dict()}
    tensors = {name: each for name, each in held.items() if isinstance(each, Tensor)}
    digest = f"{TENSORS}:{tensors_digest(tensors)}"
    return TorchModel(shown=reference, weights=digest, network=found.eval(), declared=Declared(name="the picture"))


def _is_usable(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 0


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
