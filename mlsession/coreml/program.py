"""Run a written `.mlpackage` without Core ML: parse its files, execute its program, one picture at a time.

The oracle for ML programs on machines that are not Macs, as `evaluate` is for neural networks. It reads nothing but
the files of the package; an operation that it does not know is an error, never skipped. The format is that of Apple's
`MIL.proto`: a program has functions, a function a block, and a block operations in order, whose inputs name constants
or the outputs of operations before. What a program keeps in half precision is computed in float32 and rounded after
each operation; weights in fewer bits are made whole once, when the graph is built.
"""

from __future__ import annotations

import inspect
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlsession.coreml.answers import Probabilities, answers
from mlsession.coreml.constants import Constants
from mlsession.coreml.expansion import EXPANSIONS
from mlsession.coreml.interface import (
    PROGRAM_CURE,
    WHOLE,
    Images,
    Message,
    channel_order,
    channels_first,
    parse_model,
    picture_side,
    unsupported,
)
from mlsession.coreml.manifest import root_model
from mlsession.coreml.operations import OPERATIONS, Operation
from mlsession.errors import DamagedData, InvalidParameter

_FLOAT16 = 10
"""The type in Apple's `MIL.proto`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramContents:
    """What an `.mlpackage` classifier says about itself."""

    spec_version: int
    labels: tuple[str, ...]
    """The class labels, in the order of its probabilities."""
    side: int
    """Height and width in pixels of the picture it takes."""
    description: Message
    """The protobuf `ModelDescription`: inputs, outputs and metadata."""
    block: Message
    """The protobuf `Block` of the function "main"."""
    probabilities: str
    """The value in the block that holds the probabilities."""
    constants: Constants


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    operation: Operation
    inputs: Mapping[str, tuple[str, ...]]
    """Names of values by the name of the input; one, or several for an input that takes a list."""
    outputs: tuple[str, ...]
    halved: frozenset[str]
    """Those of the outputs that the program keeps in half precision."""
    done_with: tuple[str, ...]
    """Values that no later operation reads."""


@dataclass(frozen=True, slots=True)
class _Graph:
    nodes: tuple[_Node, ...]
    constants: Mapping[str, Any]


def read_mlpackage(files: Mapping[str, bytes]) -> ProgramContents:
    """Parse the files of an `.mlpackage`: an ML program that classifies one square picture, with text labels.

    Raises `DamagedData` if they are no package, `InvalidParameter` if it holds a model of another kind.
    """
    path = root_model(files)
    spec = parse_model(files[path], "mlProgram")
    block, constants = _main_block(spec.mlProgram), Constants(files, posixpath.dirname(path))
    last = block.operations[-1] if block.operations else None
    if last is None or last.type != "classify":
        raise unsupported("program", "a program that does not end in a choice of labels", PROGRAM_CURE)
    labels = constants.value(last.inputs["classes"].arguments[0].value)
    if not (isinstance(labels, tuple) and all(isinstance(label, str) for label in labels)):
        raise unsupported("labels", "a classifier whose labels are not text", PROGRAM_CURE)
    outputs = [output.name for output in last.outputs]
    description = spec.description
    if outputs != [description.predictedFeatureName, description.predictedProbabilitiesName] != ["", ""]:
        raise DamagedData(WHOLE, f"its program gives {outputs}, which its description does not name")
    return ProgramContents(
        spec_version=spec.specificationVersion,
        labels=labels,
        side=picture_side(description),
        description=description,
        block=block,
        probabilities=last.inputs["probabilities"].arguments[0].name,
        constants=constants,
    )


def evaluate_mlpackage(files: Mapping[str, bytes], images: Images) -> tuple[list[str], Probabilities]:
    """Run the files of an `.mlpackage` on pictures: uint8 [N, side, side, 3] RGB -> N labels, float32 [N, K].

    Everything that Core ML would do is done from the files. Raises `DamagedData` for files that hold no whole model,
    `InvalidParameter` for pictures of another shape and for an operation that mlsession cannot run
    (`mlsession.coreml.operations.OPERATIONS` has those it can).
    """
    contents = read_mlpackage(files)
    source, order = contents.description.input[0].name, channel_order(contents.description)
    graph = _graph(contents.block.operations[:-1], source, contents.probabilities, contents.constants)
    return answers(
        contents.labels,
        contents.side,
        images,
        lambda image: _run(graph, source, contents.probabilities, channels_first(image, order)),
    )


def run_operations(
    operations: Sequence[Message], source: str, wanted: str, value: Tensor, constants: Constants
) -> Tensor:
    """Run `Operation` messages in order from the value named `source` to the one named `wanted`.

    Raises as `evaluate_mlpackage` does.
    """
    with torch.inference_mode():
        return _run(_graph(operations, source, wanted, constants), source, wanted, value)


def _main_block(program: Message) -> Message:
    if list(program.functions) != ["main"]:
        raise unsupported("program", f"the functions {sorted(program.functions)}", PROGRAM_CURE)
    blocks = program.functions["main"].block_specializations
    if len(blocks) != 1:
        raise DamagedData(WHOLE, f"its program has {len(blocks)} blocks for one function")
    return next(iter(blocks.values()))


def _graph(operations: Sequence[Message], source: str, wanted: str, constants: Constants) -> _Graph:
    """Every operation as a function, in order; refuses what cannot be run before anything runs."""
    last_reader = {
        binding.name: index
        for index, each in enumerate(operations)
        for argument in each.inputs.values()
        for binding in argument.arguments
    }
    fixed: dict[str, Any] = {}
    computed = {source}
    nodes: list[_Node] = []
    for index, message in enumerate(operations):
        if message.type == "const":
            fixed[message.outputs[0].name] = constants.value(message.attributes["val"])
            continue
        name = message.outputs[0].name if message.outputs else message.type
        inputs = {parameter: _names(argument, fixed, constants) for parameter, argument in message.inputs.items()}
        inputs |= _attributes(message, fixed, constants)
        read = {each for names in inputs.values() for each in names}
        if not read <= computed | fixed.keys() or not all(inputs.values()):
            raise DamagedData(WHOLE, f"the operation {name!r} reads what no operation before it gives")
        done_with = {each for each in (read & computed) - {wanted} if last_reader[each] == index}
        outputs = tuple(output.name for output in message.outputs)
        halved = frozenset(each.name for each in message.outputs if each.type.tensorType.dataType == _FLOAT16)
        node = _Node(name, _operation(message, name, inputs), inputs, outputs, halved, tuple(done_with))
        if message.type in EXPANSIONS and read <= fixed.keys():
            fixed.update(_answers(node, fixed))
            continue
        nodes.append(node)
        computed.update(outputs)
    if wanted not in computed:
        raise DamagedData(WHOLE, f"no operation gives the probabilities {wanted!r}")
    return _Graph(tuple(nodes), fixed)


def _names(argument: Message, fixed: dict[str, Any], constants: Constants) -> tuple[str, ...]:
    """The names of the values that an input reads; one that is written in place gets a name in `fixed`."""
    names: list[str] = []
    for binding in argument.arguments:
        if binding.WhichOneof("binding") == "value":
            names.append(f"in place {len(fixed)}")
            fixed[names[-1]] = constants.value(binding.value)
        else:
            names.append(binding.name)
    return tuple(names)


def _attributes(message: Message, fixed: dict[str, Any], constants: Constants) -> dict[str, tuple[str, ...]]:
    """What an operation on constants says beside its inputs: of iOS 16 everything. Its values get names in `fixed`."""
    names: dict[str, tuple[str, ...]] = {}
    for attribute, value in message.attributes.items():
        if message.type in EXPANSIONS and attribute != "name":
            names[attribute] = (f"in place {len(fixed)}",)
            fixed[names[attribute][0]] = constants.value(value)
    return names


def _operation(message: Message, name: str, inputs: Mapping[str, object]) -> Operation:
    known = {**OPERATIONS, **EXPANSIONS}
    if message.type not in known or message.blocks:
        raise unsupported(f"{message.type} {name!r}", f"this operation (it runs: {', '.join(known)})", PROGRAM_CURE)
    operation = known[message.type]
    try:
        inspect.signature(operation).bind(**inputs)
    except TypeError as error:
        raise unsupported(f"{message.type} {name!r}", f"this form of the operation ({error})", PROGRAM_CURE) from error
    return operation


def _run(graph: _Graph, source: str, wanted: str, pixels: Tensor) -> Tensor:
    values: dict[str, Any] = {**graph.constants, source: pixels}
    for node in graph.nodes:
        values.update(_answers(node, values))
        for name in node.done_with:
            del values[name]
    answer: Tensor = values[wanted]
    return answer


def _answers(node: _Node, values: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation makes of the values that it reads, by name; in half precision where the program says so."""
    given = {
        parameter: values[names[0]] if len(names) == 1 else tuple(values[name] for name in names)
        for parameter, names in node.inputs.items()
    }
    try:
        found = node.operation(**given)
        made = dict(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))
        # Computed in float32 and rounded: so do the processors that add in more bits than they keep.
        return {name: value.half().float() if name in node.halved else value for name, value in made.items()}
    except (InvalidParameter, DamagedData):
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedData(WHOLE, f"the operation {node.name!r} does not fit its input: {error}") from error


def main_operations(program: Message) -> Sequence[Message]:
    """The operations of the one function of a program, in order. Raises `InvalidParameter` where it has others."""
    operations: Sequence[Message] = _main_block(program).operations
    return operations


def compiled_operations(
    operations: Sequence[Message], source: str, wanted: str, constants: Constants
) -> Callable[[Tensor], Tensor]:
    """`run_operations` as a function of the value, for many of them: what can be refused is refused here."""
    graph = _graph(operations, source, wanted, constants)
    return lambda value: _run(graph, source, wanted, value)
