"""The places in which a session may live, each on a real server on loopback, for tests that run on several of them.

    @pytest.mark.parametrize("backend", ["local", "gcs"], indirect=True)     # without it: all of CLOUDS
    def test_something(backend: Backend) -> None:
        url = backend.new_url()
        with closing(backend.open_store(url)) as store: ...
        subprocess.run([..., url], env={**os.environ, **backend.environment})

The servers are started once for a run, when the first test asks for one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlsession.store import Store, open_store
from tests.servers.azure import AzureServer
from tests.servers.ftp import FtpServer
from tests.servers.gcs import GcsServer
from tests.servers.s3 import S3Server

CLOUDS = ("local", "s3", "gcs", "azure")
"""Where two writers are kept apart; "gcs" is our own double, which keeps conditions on objects of every size."""

BACKENDS = (*CLOUDS, "fake-gcs", "ftp")
"""All of them. "fake-gcs" ignores conditions on large objects, which no record is; "ftp" has no conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One kind of place."""

    name: str
    new_url: Callable[[], str]
    """The URL of an empty place that nobody has used."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """The same for subprocesses, which need then no options."""
    protected: bool = True
    """Whether two writers are kept apart; if not, a session there says that it runs unprotected."""

    def open_store(self, url: str) -> Store:
        """A handle to a place of this kind."""
        return open_store(url, self.storage_options)


def backend_of(name: str, folder: Path, server: Callable[[str], Any]) -> Backend:
    """The backend of a name from `BACKENDS`; `folder` is empty, `server` gives a fixture of tests/conftest.py."""
    numbers = itertools.count()
    match name:
        case "local":
            return Backend(name=name, new_url=lambda: str(folder / f"place-{next(numbers)}"))
        case "s3":
            s3: S3Server = server("s3_server")
            return Backend(
                name=name,
                new_url=lambda: f"{s3.new_bucket_url()}/some/place",
                storage_options=s3.storage_options,
                environment=s3.environment,
            )
        case "gcs" | "fake-gcs":
            gcs: GcsServer = server(f"{name.replace('-', '_')}_server")
            return Backend(
                name=name,
                new_url=lambda: f"{gcs.new_bucket_url()}/some/place",
                storage_options=gcs.storage_options,
                environment=gcs.environment,
            )
        case "azure":
            azure: AzureServer = server("azure_server")
            return Backend(
                name=name,
                new_url=azure.new_url,
                storage_options=azure.storage_options,
                environment=azure.environment,
            )
        case "ftp":
            ftp: FtpServer = server("ftp_server")
            return Backend(name=name, new_url=ftp.new_url, protected=False)
    raise ValueError(f"{name}: there is no such backend")
