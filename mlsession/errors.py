"""Every error that mlsession raises, split by who must act.

MLSessionError
├── UsageError                    the caller's input; the message names the parameter or file, the cause and the cure
│   ├── InvalidParameter          (ValueError)
│   ├── UnusableData              a data source that cannot be trained on
│   │   └── DividedData           its folders are parts such as train and test, not labels
│   ├── UnreadableImage           (ValueError) one picture, with the reason
│   ├── IncompatibleParameters    a session was made with another value
│   ├── ModifiedTrainingData      the data differ from those the session was made with
│   ├── SessionNotFound           (FileNotFoundError)
│   ├── ModelNotFound             (FileNotFoundError)
│   ├── ForeignFiles              the session's directory holds something else
│   ├── NewerFormat               written by a newer version
│   ├── SessionInUse              another writer is alive
│   └── NoUsableCheckpoint        the checkpoint cannot give a model
├── StoreError                    (OSError) the store
│   ├── KeyMissing                (FileNotFoundError)
│   ├── KeyExists                 (FileExistsError)
│   ├── StoreDenied               (PermissionError)
│   ├── StoreFull                 no space left
│   └── StoreUnavailable          transient: worth another try
│       └── CredentialsExpired    (PermissionError) until somebody renews them
├── DamagedData                   stored bytes are not what was written
├── JobStopped                    the job ended before its task did; the session can be resumed
│   ├── Cancelled                 by `Job.cancel` or a stop request
│   ├── Interrupted               by a signal
│   │   └── WorkerLost            another of the processes that train it together is gone
│   ├── SessionFailed             by an error, in the process that trained the session
│   └── SessionTakenOver          another writer fenced this one out
└── InternalError                 our bug
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime


class MLSessionError(Exception):
    """The root of all errors that mlsession raises on purpose."""


class UsageError(MLSessionError):
    """The caller's input cannot be used; the message says what to change."""


class InvalidParameter(UsageError, ValueError):
    """A parameter has a value that it cannot take."""

    def __init__(self, parameter: str, value: object, reason: str) -> None:
        super().__init__(f"{parameter}={value!r}: {reason}")
        self.parameter = parameter
        self.value = value
        self.reason = reason


class UnusableData(UsageError):
    """A data source cannot be trained on: missing, empty, or with fewer than two classes."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class DividedData(UnusableData):
    """A folder holds parts of divided data (`train/`, `val/`, `test/`) where labels were expected.

    `parts` has the name of the folder of each part: `training` and, where there are such, `validation` and `test`.
    """

    def __init__(self, source: str, parts: Mapping[str, str]) -> None:
        names = ", ".join(f"{name}/" for name in parts.values())
        example = parts["training"]
        reason = (
            f"its folders {names} are parts and no labels: `mlsession train` and Classifier.train take them for what "
            f"they are, anything else wants one of them, such as {source.rstrip('/')}/{example}"
        )
        super().__init__(source, reason)
        self.parts = dict(parts)


class UnreadableImage(UsageError, ValueError):
    """One picture cannot be read; `reason` follows from its bytes alone."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class IncompatibleParameters(UsageError):
    """The session was made with another value of a parameter that matters."""

    def __init__(self, parameter: str, original: object, new: object, cure: str) -> None:
        super().__init__(f"{parameter} was {original!r} when this session was made and is {new!r} now; {cure}")
        self.parameter = parameter
        self.original = original
        self.new = new


class ModifiedTrainingData(UsageError):
    """The training data, or the images to predict, differ from those the session was made with.

    Keys are relative to the source's root; each tuple is sorted. `labels` has the label of each relabeled image before,
    and now.
    """

    def __init__(
        self,
        added: tuple[str, ...],
        removed: tuple[str, ...],
        relabeled: tuple[str, ...],
        replaced: tuple[str, ...],
        cure: str,
        what: str = "training data",
        labels: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.labels = dict(labels or {})
        parts = [
            f"{len(keys)} {what} (such as {self._example(keys[0])})"
            for what, keys in (
                ("added", added),
                ("removed", removed),
                ("relabeled", relabeled),
                ("replaced", replaced),
            )
            if keys
        ]
        super().__init__(f"the {what} changed since this session was made: {', '.join(parts)}; {cure}")
        self.added = added
        self.removed = removed
        self.relabeled = relabeled
        self.replaced = replaced
        self.cure = cure
        self.what = what

    def _example(self, key: str) -> str:
        if key not in self.labels:
            return key
        old, new = self.labels[key]
        return f"{key}, which was {old!r} and is {new!r} now"


class SessionNotFound(UsageError, FileNotFoundError):
    """There is no session at this URL."""


class ModelNotFound(UsageError, FileNotFoundError):
    """There is no saved model, session or checkpoint at this URL."""


class ForeignFiles(UsageError):
    """The directory holds files that are not a session's; nothing was touched."""


class NewerFormat(UsageError):
    """The session or model was written by a newer version of mlsession."""


class SessionInUse(UsageError):
    """Another writer of this session is alive; `since` is an ISO date, in UTC."""

    def __init__(self, url: str, host: str, pid: int, since: str, may_take_over: bool = True) -> None:
        other = ", or take over with take_over=True (--take-over)" if may_take_over else ", then the same call again"
        super().__init__(
            f"{url} is being trained by process {pid} on {host} since "
            f"{datetime.fromisoformat(since):%Y-%m-%d %H:%M:%S} UTC; stop that one first: `mlsession stop {url}`{other}"
        )
        self.url = url
        self.host = host
        self.pid = pid
        self.since = since


class NoUsableCheckpoint(UsageError):
    """A model was asked of a session or checkpoint that cannot give one."""


class StoreError(MLSessionError, OSError):
    """A store could not do what was asked; `key` is the key concerned, or empty."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class KeyMissing(StoreError, FileNotFoundError):
    """No such key in the store."""


class KeyExists(StoreError, FileExistsError):
    """The key was to be created, and something is there already."""


class StoreDenied(StoreError, PermissionError):
    """The store refuses this caller."""


class StoreFull(StoreError):
    """No space is left; what was saved before is untouched."""


class StoreUnavailable(StoreError):
    """The store did not answer, or asked to come back later: worth another try."""


class CredentialsExpired(StoreUnavailable, PermissionError):
    """The store does not take these credentials any more; each further try reads them anew."""


class DamagedData(MLSessionError):
    """Stored bytes are not those that were written; `key` names them."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} is damaged: {reason}")
        self.key = key
        self.reason = reason


class JobStopped(MLSessionError):
    """The job ended before its task did; nothing committed is lost, and the session can be resumed."""


class Cancelled(JobStopped):
    """The job was cancelled, or another process asked it to stop."""


class Interrupted(JobStopped):
    """A signal asked the job to stop."""


class WorkerLost(Interrupted):
    """Another of the processes that train a session together is gone, or its network."""


class SessionFailed(JobStopped):
    """The session that was followed from elsewhere ended with an error there; the message is what it recorded."""


class SessionTakenOver(JobStopped):
    """Another writer has opened the session; this one writes nothing more."""


class InternalError(MLSessionError):
    """A broken invariant: a bug in mlsession or in a phase runner."""
