"""Commands out of the values that they take: their fields become arguments and options, their help has headings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer
import typer.core

from mlsession.cli.commands import Work

V = TypeVar("V")
_UNBROKEN = "\N{NON-BREAKING HYPHEN}"
"""In place of hyphens while lines are broken, which would be after one: names of options are to be copied."""
NO_HEADINGS: Mapping[str, str] = MappingProxyType({})


def taking(
    values: type[V], headings: Mapping[str, str] = NO_HEADINGS
) -> Callable[[Callable[[V], Work]], Callable[..., Work]]:
    """Makes the function of a value the function that typer takes for a command.

    `values` is a dataclass whose fields are annotated as typer's parameters are. `headings` gives by the name of a
    field what it and those after it stand below in the help; see `CommandWithHeadings`.
    """
    hints = get_type_hints(values, include_extras=True)
    parameters, heading = list[Parameter](), None
    for each in fields(values):  # type: ignore[arg-type]  # A dataclass, which no type says of a type.
        heading = headings.get(each.name, heading)
        kind, info = get_args(hints[each.name])
        info = copy.copy(info)  # Other commands have the same option.
        info.rich_help_panel = heading
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        default = Parameter.empty if default is MISSING else default
        hint = Annotated[kind, info]  # type: ignore[valid-type]  # Known when it is run.
        parameters.append(Parameter(each.name, Parameter.KEYWORD_ONLY, default=default, annotation=hint))

    def command_of(work: Callable[[V], Work]) -> Callable[..., Work]:
        def command(**given: Any) -> Work:
            return work(values(**given))

        command.__name__, command.__doc__ = work.__name__, work.__doc__
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return command_of


class CommandWithHeadings(typer.core.TyperCommand):
    """A command in whose help options stand below their headings, which typer draws with rich alone."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes arguments, then options without a heading, then the others, as they come."""
        found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            is_argument = each.param_type_name == "argument"
            heading = "Arguments" if is_argument else getattr(each, "rich_help_panel", None) or "Options"
            if record is not None:
                found.setdefault(heading, []).append((record[0], record[1].replace("-", _UNBROKEN)))
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
        formatter.buffer[:] = [text.replace(_UNBROKEN, "-") for text in formatter.buffer]
