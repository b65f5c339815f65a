"""Storage options that change while a store is in use: tokens and keys with an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import Error as ParsingError
from dataclasses import dataclass

from mlsession.errors import StoreUnavailable

Options = Mapping[str, object]
Configuration = Mapping[str, Options]
"""Options by scheme, as fsspec's files and the environment state them."""


@dataclass(frozen=True, slots=True, eq=False)
class FreshOptions(Mapping[str, object]):
    """Storage options that `read` gives, asked anew for each client: when a store is opened, and when it says that
    the credentials have expired.

        SessionParameters("s3://bucket/session", storage_options=FreshOptions(lambda: vault.lease("s3")))

    `read` is called from any thread, and may raise: `TimeoutError` and `ConnectionError` are tried again as an outage
    is, anything else ends the call that needed it.
    """

    read: Callable[[], Options]

    def __getitem__(self, name: str) -> object:
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())


def present_options(options: Options | None) -> dict[str, object]:
    """What the options are now, all of one moment."""
    return dict(options.read() if isinstance(options, FreshOptions) else options or {})


def configuration() -> dict[str, dict[str, object]]:
    """What fsspec's configuration files and the environment say now; fsspec itself reads them once a process.

    Raises `StoreUnavailable` for a file that makes no sense: it may be about to be written.
    """
    from fsspec import config

    found: dict[str, dict[str, object]] = {}
    try:
        config.set_conf_files(config.conf_dir, found)
    except (ValueError, ParsingError, OSError) as error:
        # The error's own text may show the line, and so what is secret.
        message = f"fsspec's configuration in {config.conf_dir} cannot be read ({type(error).__name__}); correct it"
        raise StoreUnavailable(message) from None
    config.set_conf_env(found)
    return {scheme: dict(options) for scheme, options in found.items()}


def changed_options(before: Configuration, now: Configuration, schemes: Sequence[str]) -> dict[str, object]:
    """The options that the configuration gives differently now, as storage options of a chain of `schemes`. Pure.

    What did not change is left to fsspec, whose configuration the program may have set itself.
    """
    changed: dict[str, object] = {}
    for depth, scheme in enumerate(schemes):
        known = before.get(scheme, {})
        new = {name: value for name, value in now.get(scheme, {}).items() if known.get(name) != value}
        if depth == 0:
            changed.update(new)
        elif new:
            changed[scheme] = new
    return changed
