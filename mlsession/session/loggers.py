"""What a training is logged with, as it is asked for: loggers themselves, or the names of some. Pure.

SessionParameters("animals.mlsession", logger="csv")
SessionParameters("animals.mlsession", logger=["tensorboard:runs", WandbLogger(project="animals")])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mlsession.errors import InvalidParameter
from mlsession.store.location import is_local
from mlsession.store.scrubbing import Scrubber

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"csv": (), "tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",), "wandb": ("wandb",)}
)
"""What a logger can be named by, and the packages one of which it takes besides Lightning."""


@runtime_checkable
class MetricsLogger(Protocol):
    """What is asked of a logger; each `Logger` of Lightning is one."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Records what the run was asked for."""
        ...

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Records figures by name, as of one step."""
        ...

    def save(self) -> None:
        """Writes what is recorded."""
        ...

    def finalize(self, status: str) -> None:
        """Ends the run for now; `status` is "success" or, for one that may go on, "failed"."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerName:
    """One of Lightning's loggers by name."""

    kind: str
    """A key of `PACKAGES`."""
    directory: str | None = field(default=None, repr=False)
    """Where it writes: a folder, of MLflow also the URI of its tracking; None: beside the session."""

    @staticmethod
    def parse(text: str) -> LoggerName:
        """Of "csv", "csv:DIR". Raises `InvalidParameter`, which does not show the credentials of a URL."""
        kind, colon, directory = text.partition(":")
        text = Scrubber("", {})(text)
        if kind not in PACKAGES:
            reason = f"must be {', '.join(PACKAGES)}, each with a folder where you like, such as csv:logs"
            raise InvalidParameter("logger", text, reason)
        if colon and not directory:
            raise InvalidParameter("logger", text, f"name a folder after the colon, or leave the colon out: {kind}")
        if directory and kind != "mlflow" and not is_local(directory):
            raise InvalidParameter("logger", text, "the folder must be one of this machine; copy it when it is done")
        return LoggerName(kind=kind, directory=directory or None)

    def __str__(self) -> str:
        """As it may be shown: without the credentials of a URL."""
        return self.kind if self.directory is None else f"{self.kind}:{Scrubber('', {})(self.directory)}"


LoggerChoice: TypeAlias = "str | MetricsLogger | Sequence[str | MetricsLogger] | None"


def logger_choices(choice: LoggerChoice) -> tuple[LoggerName | MetricsLogger, ...]:
    """Each logger that is asked for. Raises `InvalidParameter` for what is none, and for a name that is given twice."""
    if choice is None:
        return ()
    # A logger may have members of any kind, also those of a sequence.
    several = choice if isinstance(choice, Sequence) and not isinstance(choice, str | MetricsLogger) else (choice,)
    found: list[LoggerName | MetricsLogger] = []
    for each in several:
        if isinstance(each, str):
            name = LoggerName.parse(each)
            if name in found:
                raise InvalidParameter("logger", str(name), "is given twice; once is enough")
            found.append(name)
        elif isinstance(each, MetricsLogger) and not isinstance(each, type):
            found.append(each)
        else:
            reason = f"must be a Logger of Lightning, one of {', '.join(PACKAGES)}, or several of them"
            raise InvalidParameter("logger", each, reason)
    return tuple(found)
