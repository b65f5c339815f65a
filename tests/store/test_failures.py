from __future__ import annotations

import errno
import socket
from ftplib import error_perm, error_temp

import aiohttp
import botocore.exceptions  # type: ignore[import-untyped]
import pytest
from fsspec.exceptions import FSTimeoutError

from mlsession.errors import KeyMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from mlsession.store.failures import Failure, classify, describe, os_failure, remote_failure


def client_error(code: str, status: int) -> OSError:
    """What s3fs raises: an OSError of its own from botocore's ClientError."""
    error = OSError(errno.EIO, "some text")
    error.__cause__ = botocore.exceptions.ClientError(
        {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "PutObject",
    )
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def named(name: str, text: str) -> Exception:
    """An error of a library that is not here, known by the name of its class."""
    error: Exception = type(name, (Exception,), {})(text)
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (client_error("ConditionalRequestConflict", 409), Failure.TRANSIENT),
        (client_error("SlowDown", 503), Failure.TRANSIENT),
        (client_error("InternalError", 500), Failure.TRANSIENT),
        (client_error("Odd", 502), Failure.TRANSIENT),
        (client_error("NotImplemented", 501), Failure.OTHER),
        (client_error("OddRequest", 400), Failure.OTHER),
        (OSError(errno.EIO, "Input/output error"), Failure.TRANSIENT),
        (client_error("NoSuchBucket", 404), Failure.CONTAINER_MISSING),
        (client_error("ExpiredToken", 400), Failure.EXPIRED),
        (client_error("AccessDenied", 403), Failure.DENIED),
        (PermissionError("Access to expired-photos was refused"), Failure.DENIED),
        (caused(OSError(5, "x"), PermissionError("Token has been expired or revoked.")), Failure.EXPIRED),
        (named("RefreshError", "invalid_grant: Token has been expired or revoked."), Failure.EXPIRED),
        (named("RefreshError", "no such account"), Failure.DENIED),
        (named("TokenRetrievalError", "Token has expired and refresh failed"), Failure.EXPIRED),
        (client_error("Odd", 507), Failure.FULL),
        (FileNotFoundError("The specified bucket does not exist"), Failure.CONTAINER_MISSING),
        (FileNotFoundError("bucket/key"), Failure.MISSING),
        (PermissionError("no"), Failure.DENIED),
        (botocore.exceptions.NoCredentialsError(), Failure.DENIED),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://h"), Failure.TRANSIENT),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="http://h"), Failure.TRANSIENT),
        (aiohttp.ServerDisconnectedError(), Failure.TRANSIENT),
        (aiohttp.ClientPayloadError(), Failure.TRANSIENT),
        (FSTimeoutError(), Failure.TRANSIENT),
        (TimeoutError(), Failure.TRANSIENT),
        (ConnectionResetError(), Failure.TRANSIENT),
        (socket.gaierror(-2, "Name or service not known"), Failure.TRANSIENT),
        (EOFError(), Failure.TRANSIENT),
        (error_temp("421 too many connections"), Failure.TRANSIENT),
        (caused(FileNotFoundError("/x"), error_temp("421 timeout")), Failure.TRANSIENT),
        (caused(FileNotFoundError("/x"), error_perm("550 no such file")), Failure.MISSING),
        (error_perm("530 Login incorrect"), Failure.DENIED),
        (error_perm("552 quota"), Failure.FULL),
        (OSError(errno.ENOSPC, "No space left on device"), Failure.FULL),
        (ValueError("odd"), Failure.OTHER),
    ],
)
def test_errors_of_client_libraries(error: Exception, failure: Failure) -> None:
    assert classify(error) is failure


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EFBIG, StoreFull),
        (errno.EACCES, StoreDenied),
        (errno.EPERM, StoreDenied),
        (errno.EROFS, StoreDenied),
        (errno.ENOENT, KeyMissing),
        (errno.EIO, StoreUnavailable),
        (errno.ESTALE, StoreUnavailable),
        (errno.EMFILE, StoreUnavailable),
        (errno.ENOTDIR, StoreError),
        (errno.EISDIR, StoreError),
        (errno.ELOOP, StoreError),
        (errno.ENAMETOOLONG, StoreError),
    ],
)
def test_errors_of_this_machine(number: int, kind: type[StoreError]) -> None:
    failure = os_failure(OSError(number, "the reason"), "/folder/log/0", "log/0")
    assert type(failure) is kind
    assert failure.key == "log/0"
    assert str(failure).startswith("/folder/log/0: ")
    assert "\n" not in str(failure)


def test_a_file_that_windows_has_open_elsewhere_is_worth_another_try() -> None:
    error = PermissionError(errno.EACCES, "in use")
    error.winerror = 32  # type: ignore[attr-defined, unused-ignore]
    assert type(os_failure(error, "C:/x", "x")) is StoreUnavailable


def test_a_missing_bucket_is_named_with_the_cure() -> None:
    failure = remote_failure(client_error("NoSuchBucket", 404), "s3://animals/sessions", "log/0", str)
    assert type(failure) is StoreError
    assert "'animals' does not exist; create it" in str(failure)


def test_a_description_is_one_short_line() -> None:
    assert describe(ValueError("a\n  b" + "c" * 1000)) == "ValueError: a b" + "c" * 297
    assert describe(TimeoutError()) == "TimeoutError"
