"""What a training hands to the worker processes that it starts: by their environment, as credentials are among it.

Command lines are shown to everybody on a machine; the environment of a process only to its user. Nothing of it is
stored. Workers that somebody else starts get none of it, and find all they need in the session.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mlsession.errors import InvalidParameter
from mlsession.job.parents import Ancestor
from mlsession.session.parameters import SessionParameters
from mlsession.session.policy import Automatic, EveryIterations, EverySeconds, SavePolicy

VARIABLE = "MLSESSION_WORKER"
_KEPT = (
    *("report_interval", "keep_last", "keep_best", "grace_seconds", "stale_after", "on_modified_data"),
    *("store_patience", "read_timeout", "cache", "cache_size", "verify_content", "strategy", "storage_options"),
)
"""Of the parameters those that a worker goes by. What the data are was verified before it was started."""
_POLICIES: tuple[type[SavePolicy], ...] = (EveryIterations, EverySeconds, Automatic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What workers are told by the process that starts them."""

    parameters: SessionParameters
    """Of the session; its URL may hold credentials."""
    access: Mapping[str, Mapping[str, object]] = field(repr=False)
    """fsspec's options for what the session reads from; see `training.request.Access`."""
    report: str
    """The file that they tell in what happens; rank 0 its events, too."""
    training: Ancestor
    """The process that starts them: they end when it does."""
    launcher: str = ""
    """The file that says which process the launcher is, which is known only once it runs: they end with it as well."""

    def encode(self) -> str:
        """Raises `InvalidParameter` for options that are no plain values."""
        policy = self.parameters.save_policy
        value = {
            "url": str(self.parameters.url),
            "parameters": {name: _plain(getattr(self.parameters, name)) for name in _KEPT},
            "policy": {"kind": type(policy).__name__, **asdict(policy)},
            "access": {name: dict(options) for name, options in self.access.items()},
            "report": self.report,
            "training": list(self.training),
            "launcher": self.launcher,
        }
        try:
            return json.dumps(value)
        except TypeError as error:
            reason = (
                f"holds what cannot be handed to other processes ({error}); give plain values, set the credentials in "
                "the environment, or train with devices=1"
            )
            raise InvalidParameter("storage_options", "...", reason) from None

    @classmethod
    def decode(cls, text: str) -> Handed:
        """Reads `encode` back."""
        value = json.loads(text)
        stored = dict(value["policy"])
        kind = stored.pop("kind")
        policy = next(each for each in _POLICIES if each.__name__ == kind)(**stored)
        return cls(
            parameters=SessionParameters(value["url"], checkpoint_interval=policy, **value["parameters"]),
            access=value["access"],
            report=value["report"],
            training=Ancestor(*value["training"]),
            launcher=value["launcher"],
        )

    @property
    def ancestors(self) -> tuple[Ancestor, ...]:
        """The processes to end with. By the time that a worker runs, its launcher has long been written down."""
        try:
            launcher = Ancestor(*json.loads(Path(self.launcher).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return (self.training,)
        return self.training, launcher


def taken_over() -> Handed | None:
    """What this process was handed, if it was started by a training; taken out of its environment."""
    text = os.environ.pop(VARIABLE, None)
    return None if text is None else Handed.decode(text)


def handed(
    parameters: SessionParameters, access: Mapping[str, Mapping[str, object]], report: str, launcher: str = ""
) -> Handed:
    """What this process hands to the workers that it starts."""
    training = Ancestor.of(os.getpid())
    return Handed(parameters=parameters, access=access, report=report, training=training, launcher=launcher)


def write_launcher(path: Path, pid: int) -> None:
    """Says which process the launcher is, in the file of `Handed.launcher`."""
    # Renamed as a whole: a worker must not read half of it.
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps(list(Ancestor.of(pid))), encoding="utf-8")
    whole.replace(path)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
