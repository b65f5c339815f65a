"""What an error of a disk or a client library means; pure.

Client libraries are told apart by the names of their classes and by fields that they share (a status, a service's
code), so that none of them has to be installed, or imported.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from enum import Enum, auto

from mlsession.errors import CredentialsExpired, KeyMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from mlsession.store.buckets.services import AZURE


class Failure(Enum):
    """Who must act on a failed call."""

    MISSING = auto()
    CONTAINER_MISSING = auto()
    DENIED = auto()
    EXPIRED = auto()
    FULL = auto()
    TRANSIENT = auto()
    OTHER = auto()


def error_numbers(*names: str) -> frozenset[int]:
    """The error numbers of these names that this system has."""
    return frozenset(number for name in names if (number := getattr(errno, name, None)) is not None)


FULL_NUMBERS = error_numbers("ENOSPC", "EDQUOT", "EFBIG")
_FULL_CURES = {
    **dict.fromkeys(error_numbers("EDQUOT"), "remove files of yours on this disk, or ask for a larger quota"),
    **dict.fromkeys(error_numbers("EFBIG"), "raise the limit on the size of files (`ulimit -f`), or take another disk"),
}
DENIED_NUMBERS = error_numbers("EACCES", "EPERM", "EROFS")
TRANSIENT_NUMBERS = error_numbers(
    *("EAGAIN", "EBUSY", "EINTR", "EIO", "EREMOTEIO", "ESTALE", "EMFILE", "ENFILE", "ENOLCK", "EPIPE"),
    *("ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "ENOTCONN"),
    *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH"),
)

_WINDOWS_SHARING = frozenset({32, 33})
"""Another program has the file open, or a part of it locked."""

_CONTAINER_CODES = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})
_CONTAINER_TEXTS = ("bucket does not exist", "container does not exist")
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestTimeTooSkewed"})
_EXPIRED_TEXTS = (
    *("has expired", "is expired", "been expired", "token expired"),
    "signature not valid in the specified time frame",
)
"""What services without a code for it, and libraries that renew tokens by themselves, say in so many words."""
_DENIED_CLASSES = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
        *("ClientAuthenticationError", "DefaultCredentialsError", "RefreshError", "AuthenticationException"),
    }
)
_TRANSIENT_CODES = frozenset(
    {
        *("ConditionalRequestConflict", "OperationAborted", "InternalError", "ServiceUnavailable", "SlowDown"),
        *("RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests", "ServerBusy", "OperationTimedOut"),
    }
)
_TRANSIENT_CLASSES = frozenset(
    {
        *("botocore.exceptions.HTTPClientError", "botocore.exceptions.ConnectionError"),
        *("botocore.exceptions.ReadTimeoutError", "botocore.exceptions.IncompleteReadError"),
        *("aiohttp.client_exceptions.ClientConnectionError", "aiohttp.client_exceptions.ClientPayloadError"),
        *("requests.exceptions.ConnectionError", "requests.exceptions.Timeout"),
        *("requests.exceptions.ChunkedEncodingError", "urllib3.exceptions.HTTPError", "http.client.HTTPException"),
        *("azure.core.exceptions.ServiceRequestError", "azure.core.exceptions.ServiceResponseError"),
        *("google.auth.exceptions.TransportError", "fsspec.exceptions.FSTimeoutError", "ftplib.error_temp"),
    }
)
_TRANSIENT_STATUSES = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504})
_FULL_STATUSES = frozenset({507})
_FTP_FULL = ("452", "552")
_FTP_DENIED = ("530", "532", "553")


def classify(error: BaseException) -> Failure:
    """What an error of any fsspec filesystem means, judged with everything it was raised from."""
    chain = tuple(_chain(error))
    for judge in (_container_missing, _denied, _full, _transient, _missing):
        verdict = judge(chain)
        if verdict is not None:
            return verdict
    return Failure.OTHER


def os_failure(error: OSError, path: str, key: str) -> StoreError:
    """The error to raise for one of this machine's file system; `path` is the file or folder concerned."""
    number, reason = error.errno, error.strerror or str(error)
    if number in FULL_NUMBERS:
        cure = _FULL_CURES.get(number, "free some space on this disk")
        message = f"{path}: {reason}; {cure}, then run the same command again"
        return StoreFull(f"{message} (what was saved before is untouched)", key)
    if getattr(error, "winerror", None) in _WINDOWS_SHARING:
        return StoreUnavailable(f"{path}: {reason}; close the program that has it open", key)
    if number in DENIED_NUMBERS:
        cure = "the disk is mounted read-only" if number == errno.EROFS else "check the owner and mode of it"
        return StoreDenied(f"{path}: {reason}; {cure}, or choose another folder", key)
    if number == errno.ENOENT:
        return KeyMissing(f"{path}: {reason}", key)
    if number in TRANSIENT_NUMBERS:
        return StoreUnavailable(f"{path}: {reason}", key)
    if number == errno.ENOTDIR:
        return StoreError(f"{path}: a part of this path is a file, not a folder; choose another folder", key)
    if number == errno.EISDIR:
        return StoreError(f"{path}: is a folder, not a file", key)
    return StoreError(f"{path}: {reason}", key)


def remote_failure(error: Exception, url: str, key: str, scrub: Callable[[str], str]) -> StoreError:
    """The error to raise for one of an fsspec filesystem.

    `url` must be fit to be shown; `scrub` takes secrets out of the text of `error`.
    """
    where = f"{url.rstrip('/')}/{key}" if key and "::" not in url else f"{url} {key}".rstrip()
    text = scrub(describe(error))
    match classify(error):
        case Failure.CONTAINER_MISSING:
            return container_missing(url, key)
        case Failure.MISSING:
            return KeyMissing(f"{where}: there is nothing here", key)
        case Failure.EXPIRED:
            cure = "renew them where they come from (storage_options, fsspec's configuration, environment)"
            return CredentialsExpired(
                f"{where}: the credentials have expired or this clock is wrong; {cure} ({text})", key
            )
        case Failure.DENIED:
            cure = "check the credentials (storage_options, environment) and what they allow"
            return StoreDenied(f"{where}: access was refused; {cure} ({text})", key)
        case Failure.FULL:
            return StoreFull(
                f"{where}: no space or quota left; free some, then run the same command again ({text})", key
            )
        case Failure.TRANSIENT:
            return StoreUnavailable(f"{where}: no usable answer from the store; try again later ({text})", key)
        case Failure.OTHER:
            return StoreError(f"{where}: {text}", key)


def container_missing(url: str, key: str = "") -> StoreError:
    """The error for a URL whose bucket (with Azure: container) is not there."""
    scheme, _, rest = url.partition("://")
    kind, name = "container" if scheme in AZURE else "bucket", rest.partition("/")[0]
    return StoreError(f"{url}: the {kind} {name!r} does not exist; create it, or correct the URL", key)


def describe(error: BaseException) -> str:
    """An error in one line: its class and the first 300 characters of its text."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _container_missing(chain: tuple[BaseException, ...]) -> Failure | None:
    if any(_code(error) in _CONTAINER_CODES for error in chain):
        return Failure.CONTAINER_MISSING
    texts = [str(error).lower() for error in chain if isinstance(error, FileNotFoundError) or _status(error) == 404]
    found = any(needle in text for text in texts for needle in _CONTAINER_TEXTS)
    return Failure.CONTAINER_MISSING if found else None


def _denied(chain: tuple[BaseException, ...]) -> Failure | None:
    if any(_code(error) in _EXPIRED_CODES for error in chain):
        return Failure.EXPIRED
    if not _is_refused(chain):
        return None
    texts = [str(error).lower() for error in chain]
    said = any(needle in text for text in texts for needle in _EXPIRED_TEXTS)
    # Google Cloud Storage has one answer to a token that is too old and to one that never was.
    said |= any(_status(error) == 401 and "invalid credentials" in str(error).lower() for error in chain)
    return Failure.EXPIRED if said else Failure.DENIED


def _is_refused(chain: tuple[BaseException, ...]) -> bool:
    for error in chain:
        refused = isinstance(error, PermissionError) or _number(error) in DENIED_NUMBERS
        if refused or _status(error) in (401, 403) or not _DENIED_CLASSES.isdisjoint(_class_names(error)):
            return True
        if _is_ftp_refusal(error, _FTP_DENIED) or _is_gcs_refusal(error):
            return True
    return False


def _full(chain: tuple[BaseException, ...]) -> Failure | None:
    for error in chain:
        if _number(error) in FULL_NUMBERS or _status(error) in _FULL_STATUSES or _is_ftp_refusal(error, _FTP_FULL):
            return Failure.FULL
    return None


def _transient(chain: tuple[BaseException, ...]) -> Failure | None:
    # s3fs gives EIO to whatever it has no word for, so where a service has replied, its reply decides alone.
    replied = any(_code(error) or _status(error) for error in chain)
    for error in chain:
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
        if isinstance(error, TimeoutError | ConnectionError | EOFError) or not _TRANSIENT_CLASSES.isdisjoint(names):
            return Failure.TRANSIENT
        if _code(error) in _TRANSIENT_CODES or _status(error) in _TRANSIENT_STATUSES:
            return Failure.TRANSIENT
        if "socket.gaierror" in names or (not replied and _number(error) in TRANSIENT_NUMBERS):
            return Failure.TRANSIENT
    return None


def _missing(chain: tuple[BaseException, ...]) -> Failure | None:
    return Failure.MISSING if any(isinstance(e, FileNotFoundError) or _status(e) == 404 for e in chain) else None


def _number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _is_ftp_refusal(error: BaseException, replies: tuple[str, ...]) -> bool:
    return type(error).__module__ == "ftplib" and str(error).startswith(replies)


def _is_gcs_refusal(error: BaseException) -> bool:
    """gcsfs makes an OSError without a number of a reply with status 403, and says so in its text alone."""
    return type(error) is OSError and error.errno is None and str(error).startswith("Forbidden: ")


def _code(error: BaseException) -> str:
    """The service's own word for the failure: botocore's `response["Error"]["Code"]`, azure's `error_code`."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    code = getattr(error, "error_code", "") or ""
    # Azure's codes are members of an enumeration, whose text is another one.
    return str(getattr(code, "value", code))


def _status(error: BaseException) -> int | None:
    """The HTTP status, wherever the library keeps it (botocore, aiohttp, azure, requests, gcsfs)."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _as_status(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    for holder, name in ((error, "status"), (error, "status_code"), (response, "status_code"), (error, "code")):
        status = _as_status(getattr(holder, name, None))
        if status is not None:
            return status
    return None


def _as_status(value: object) -> int | None:
    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        return int(value)
    return None
