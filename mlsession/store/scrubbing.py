"""Keeping credentials out of what people read; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from mlsession.store.location import redact, url_secrets

_PLACES = {
    "endpoint_url",
    "endpoint",
    "region_name",
    "region",
    "project",
    "account_name",
    "host",
    "port",
    "cache_storage",
}
_MANNERS = {"protocol", "target_protocol", "signature_version", "addressing_style"}
PUBLIC_OPTIONS = frozenset(_PLACES | _MANNERS)
"""Options of fsspec filesystems whose values say where, not who."""

SHORTEST_ANYWHERE = 8
"""Characters from which on a secret is hidden inside of words, too."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://[^\s\"'<>)]+")


class Scrubber:
    """Takes the values of `storage_options`, and the credentials of URLs, out of a text."""

    def __init__(self, url: str, options: Mapping[str, object]) -> None:
        found = {*_values(options), *url_secrets(url)}
        # The longest first, so that a secret that holds another one goes as a whole.
        self._secrets = [_pattern(secret) for secret in sorted(found, key=len, reverse=True)]

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = secret.sub("***", text)
        return _URL.sub(lambda match: redact(match.group(0)), text)


def fit_cause(error: BaseException, scrub: Callable[[str], str]) -> BaseException | None:
    """What an error that people see may be raised from: None if anything in the chain of `error` tells a secret.

    A traceback prints the text of every cause, and client libraries put into theirs what they were given.
    """
    told, chain = "", [error]
    for each in chain:
        told += f"{each}\n{each.args!r}\n"
        chain += [other for other in (each.__cause__, each.__context__) if other is not None and other not in chain]
    return error if scrub(told) == told else None


def _pattern(secret: str) -> re.Pattern[str]:
    """Where a secret stands; a short one only as a word, or else "a" would black out half of a message."""
    escaped = re.escape(secret)
    return re.compile(escaped if len(secret) >= SHORTEST_ANYWHERE else rf"(?<!\w){escaped}(?!\w)")


def _values(options: Mapping[str, object]) -> Iterator[str]:
    """Every text in the options, at any depth, under a name that is not public."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _values(value)
        elif isinstance(value, list | tuple):
            yield from _values({f"{name}[{n}]": item for n, item in enumerate(value)})
        elif isinstance(value, str) and value and name not in PUBLIC_OPTIONS:
            yield value
