"""How a session is kept: where, how often saved, how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlsession.devices.choice import DevicesChoice, StrategyChoice, check_devices
from mlsession.errors import InvalidParameter
from mlsession.session.loggers import LoggerChoice, logger_choices
from mlsession.session.policy import Automatic, EveryIterations, EverySeconds, SavePolicy
from mlsession.session.retention import Retention
from mlsession.store.retrying import Backoff

CACHE_BYTES = 10_000_000_000
"""What a feature cache holds at most, unless somebody says otherwise: four million rows of the default extractor."""


@dataclass(frozen=True, slots=True)
class SessionParameters:
    """Where a session lives and how it is run; all of it may change from one attempt to the next.

    `url` is any local path or fsspec URL; None means a temporary local session.
    """

    url: str | Path | None = None
    report_interval: int = 5
    """Iterations between progress reports."""
    checkpoint_interval: int | Literal["auto"] | SavePolicy = "auto"
    """Iterations between checkpoints, or a policy; the end of a phase is always saved."""
    iterations: int | None = None
    """The most training iterations; None leaves it to the model's parameters."""
    keep_last: int | None = None
    """How many of the newest training checkpoints stay, 2 or more; None keeps all, unless `keep_best` is given.

    With either, extracting and evaluating keep their two newest. What resuming rests on always stays, and the best
    model's checkpoint only if `keep_best` says so; see `session.retention`. The rule is kept to while the session
    trains: of one that has finished, `TrainingSession.remove_checkpoints` removes.
    """
    keep_best: int | None = None
    """How many of the best training checkpoints stay, too: by `validation_accuracy`, without validation by `accuracy`.

    Of equally good ones the earlier. Alone it stands for the two newest and the best.
    """
    grace_seconds: float = 25.0
    """How long a stop may take before a running save is given up."""
    stale_after: float = 20.0
    """Seconds without a sign of life after which an earlier writer counts as gone."""
    take_over: bool = False
    """Open the session even if another writer is alive, and fence that one out."""
    on_modified_data: Literal["fail", "update", "ignore"] = "fail"
    """What to do where the training data are not those of the session any more: refuse; take them on, so that only
    what is new is extracted, and the head is trained anew; or go on with those that were recorded."""
    store_patience: float = 900.0
    """Seconds for which an unreachable store is tried again."""
    read_timeout: float = 300.0
    """Seconds after which a picture that a remote source does not give is asked for again, while no other one is read;
    and again, until `store_patience` is over. Then the run ends, and can be resumed: no picture is left out for it."""
    cache: str | None = "auto"
    """The shared feature cache: a URL, None (or "none", as on the command line) to do without, or "auto" for
    `.mlsession-cache` beside the session."""
    cache_size: int = CACHE_BYTES
    """Bytes that the cache may have, features of other extractors included: what was used longest ago is deleted.

    It may be more for as long as this run needs what is there. Each run keeps to its own bound.
    """
    verify_content: bool = False
    """Whether every image is read and compared with what was extracted, however unchanged its file looks."""
    logger: LoggerChoice = field(default=None, repr=False)
    """What the course of the training is logged with: a `Logger` of Lightning, the name of one ("csv", "tensorboard",
    "mlflow", "wandb", with a folder as in "csv:logs"), or several. Nothing of it is stored; see docs/loggers.md."""
    devices: DevicesChoice = 1
    """How many processes train it, one for each GPU; "auto" for all GPUs of this machine. See docs/devices.md.

    What comes out is the same for any number: images are extracted once, and saved in the same steps.
    """
    num_nodes: int = 1
    """How many machines: more than 1 takes a launcher on each of them, which is told by docs/devices.md."""
    strategy: StrategyChoice = "auto"
    """How they share a network that is fine-tuned: "ddp" (and "auto"), each has all of it; "fsdp", each has a part of
    the weights and of what the optimiser remembers, and saves that itself."""
    storage_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """For fsspec: credentials, endpoints; `FreshOptions` for credentials with an end. Never stored, never printed."""

    def __post_init__(self) -> None:
        _whole("report_interval", self.report_interval)
        _at_least("grace_seconds", self.grace_seconds, 0)
        _at_least("stale_after", self.stale_after, 0)
        _at_least("store_patience", self.store_patience, 0)
        _above_0("read_timeout", self.read_timeout)
        _whole("cache_size", self.cache_size)
        if self.iterations is not None:
            _whole("iterations", self.iterations)
        if self.on_modified_data not in ("fail", "update", "ignore"):
            raise InvalidParameter("on_modified_data", self.on_modified_data, "must be 'fail', 'update' or 'ignore'")
        if self.cache == "none":
            object.__setattr__(self, "cache", None)
        check_devices(self.devices, self.num_nodes, self.strategy)
        _ = self.save_policy, self.retention, logger_choices(self.logger)

    @property
    def save_policy(self) -> SavePolicy:
        """The policy that `checkpoint_interval` names."""
        interval = self.checkpoint_interval
        if isinstance(interval, EveryIterations | EverySeconds | Automatic):
            return interval
        if isinstance(interval, int) and not isinstance(interval, bool):
            return EveryIterations(iterations=interval)
        if interval == "auto":
            return Automatic()
        raise InvalidParameter("checkpoint_interval", interval, "must be a whole number of iterations, or 'auto'")

    @property
    def retention(self) -> Retention:
        """The rule that `keep_last` and `keep_best` name."""
        return Retention(keep_last=self.keep_last, keep_best=self.keep_best)

    @property
    def backoff(self) -> Backoff:
        """How an unreachable store is tried again."""
        return Backoff(give_up_after=self.store_patience)


def _whole(parameter: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidParameter(parameter, value, "must be a whole number of 1 or more")


def _above_0(parameter: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidParameter(parameter, value, "must be above 0")


def _at_least(parameter: str, value: float, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise InvalidParameter(parameter, value, f"must be {least} or more")
