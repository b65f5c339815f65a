"""Arithmetic on URLs and local paths; pure, and without fsspec.

A location is a local path (absolute, relative, "~", a Windows drive), a `file://` URL, the URL of any fsspec
filesystem, or a chain of those such as "zip://photos::s3://bucket/all.zip". Keys and paths are taken as they are
written: as in fsspec, "%20" is three characters.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from mlsession.errors import InvalidParameter
from mlsession.store.keys import check_read_key

LOCAL_SCHEMES = frozenset({"", "file", "local"})

# One letter is a Windows drive, not a scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")
_BEFORE_URL = re.compile(r"[A-Za-z_]+:(?=[A-Za-z][A-Za-z0-9+.\-]+://)")
"""What says what a URL is of, such as the `custom:` of an extractor."""
_BARE_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+")
_QUERY_SCHEMES = frozenset({"http", "https"})
_PASSING_SCHEMES = frozenset({"simplecache", "filecache", "blockcache", "cached"})
"""Links of a chain without paths of their own: a path in one is a path in what it stands before."""
_NAMED_CONTAINER_SCHEMES = frozenset({"abfs", "abfss", "az", "adl", "wasb", "wasbs"})


class _Pieces(NamedTuple):
    """`head` + `path` + `tail` is the location; `path` is the part that keys are added to."""

    head: str
    path: str
    tail: str


def scheme_of(url: str) -> str:
    """The scheme in lower case: of a chain the outermost one; "" for a plain path."""
    if _is_chain(url):
        url = url.partition("::")[0]
        if _BARE_SCHEME.fullmatch(url):
            return url.lower()
    match = _SCHEME.match(url)
    return match.group(1).lower() if match else ""


def schemes_of(url: str) -> tuple[str, ...]:
    """The schemes of a chain from the outermost on; of anything else the one scheme."""
    if not _is_chain(url):
        return (scheme_of(url),)
    first, _, rest = url.partition("::")
    return (scheme_of(f"{first}::"), *schemes_of(rest))


def is_local(url: str) -> bool:
    """Whether a location is a file or folder of this machine."""
    return scheme_of(url) in LOCAL_SCHEMES


def local_path(url: str, *, windows: bool = os.name == "nt") -> str:
    """The absolute path of a local location, "~" expanded. Raises `InvalidParameter` for one that is not local."""
    if not is_local(url):
        raise InvalidParameter("url", redact(url), "is not a path of this machine")
    if not url:
        raise InvalidParameter("url", url, 'is empty; write "." for the current folder')
    if "\x00" in url:
        raise InvalidParameter("url", url, "holds a NUL character, which no file name can")
    path = _split(url).path
    if scheme_of(url):
        path = path.removeprefix("localhost") if path.startswith("localhost/") else path
        if windows and re.match(r"/[A-Za-z]:", path):
            path = path[1:]
    return str(Path(path).expanduser().absolute())


def join_url(url: str, key: str) -> str:
    """The location of `key` below `url`: join_url("s3://b/k/", "a/b") is "s3://b/k/a/b". "" gives `url` back."""
    if not key:
        return url
    check_read_key(key)
    head, path, tail = _split(url)
    base = path.rstrip(_separators(url))
    if not base:
        return f"{head}{'/' if path else ''}{key}{tail}"
    return f"{head}{base}/{key}{tail}"


def parent_url(url: str) -> str:
    """The folder that holds `url`: of "s3://b/k" it is "s3://b", of "a" it is ".".

    Raises `InvalidParameter` where there is none: for a bucket, a host and the root of a disk.
    """
    head, path, tail = _split(url)
    if is_local(url):
        local = Path(local_path(url) if Path(path).name in ("", "..") or path[:1] == "~" else path)
        if local == local.parent and str(local) != ".":
            raise InvalidParameter("url", url, "has no folder above it")
        return str(local.parent)
    base = path.rstrip("/")
    if "/" in base:
        return f"{head}{base.rpartition('/')[0]}{tail}"
    if base and (tail.startswith("::") or scheme_of(url) == "memory"):
        return f"{head}{tail}"
    if tail.startswith("::"):
        return parent_url(tail[2:])
    raise InvalidParameter("url", redact(url), "has no folder above it")


def url_name(url: str) -> str:
    """The last part: of "s3://b/k/" it is "k", of "zip://::s3://b/all.zip" it is "all.zip"; "" for a root."""
    _, path, tail = _split(url)
    if is_local(url):
        return Path(local_path(url)).name
    base = path.rstrip("/")
    if not base and tail.startswith("::"):
        return url_name(tail[2:])
    return base.rpartition("/")[2]


def redact(url: str) -> str:
    """The location as it may be shown: without user and password, and with the values of a query hidden."""
    if _is_chain(url):
        return "::".join(redact(part) if "://" in part else part for part in url.split("::"))
    if before := _BEFORE_URL.match(url):
        return before.group() + redact(url[before.end() :])
    match = _SCHEME.match(url)
    if not match or is_local(url):
        return url
    rest = url[match.end() :]
    user = _user_information(rest, match.group(1).lower())
    shown = rest[len(user) + 1 :] if user else rest
    shown = re.sub(r"([?&;][^=&;?]*=)[^&;]*", r"\1***", shown)
    return f"{match.group(0)}{shown}"


def url_secrets(url: str) -> tuple[str, ...]:
    """What `redact` takes out before the "@" of a URL or of any URL of a chain: the user information and its parts."""
    found: list[str] = []
    for part in url.split("::"):
        match = _SCHEME.match(part)
        user = _user_information(part[match.end() :], match.group(1).lower()) if match else ""
        found.extend(piece for piece in (user, user.partition(":")[2]) if piece)
    return tuple(found)


def _user_information(rest: str, scheme: str) -> str:
    """What stands before the "@" of an authority and is no container's name; "" if there is nothing."""
    if scheme in LOCAL_SCHEMES:
        return ""
    authority = rest.partition("/")[0]
    if "@" in authority:
        user = authority.rpartition("@")[0]
        return "" if scheme in _NAMED_CONTAINER_SCHEMES and ":" not in user else user
    # Secrets with "/" in them are common (S3's are base64): "KEY:SEC/RET@bucket".
    name, colon, port = authority.partition(":")
    if name and colon and not port.isdigit() and "@" in rest:
        return rest.rpartition("@")[0]
    return ""


def _is_chain(url: str) -> bool:
    first, separator, _ = url.partition("::")
    if not separator:
        return False
    match = _SCHEME.match(first)
    if match:
        return match.group(1).lower() not in LOCAL_SCHEMES
    return _BARE_SCHEME.fullmatch(first) is not None


def _split(url: str) -> _Pieces:
    head, path, tail = "", url, ""
    if _is_chain(url):
        path, separator, rest = url.partition("::")
        if path.lower() in _PASSING_SCHEMES:
            inner = _split(rest)
            return _Pieces(f"{path}{separator}{inner.head}", inner.path, inner.tail)
        tail = separator + rest
        if _BARE_SCHEME.fullmatch(path):
            path = f"{path}://"
    match = _SCHEME.match(path)
    if match:
        head, path = match.group(0), path[match.end() :]
    if scheme_of(url) in _QUERY_SCHEMES and "?" in path:
        path, _, query = path.partition("?")
        tail = f"?{query}{tail}"
    return _Pieces(head, path, tail)


def _separators(url: str) -> str:
    return "/" + os.sep if is_local(url) else "/"
