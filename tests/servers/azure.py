"""A real Azure Blob server on loopback (azurite, by Microsoft), with blobs in memory."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

if __name__ == "__main__":
    # A script has only its own folder on the path; there, this file would hide the package of the same name.
    sys.path[0] = str(Path(__file__).parents[2])

from tests.servers.process import ServerProcess, program_on_a_port, serve_until_input_closes

AZURITE = Path(sys.prefix) / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
"""Where `make test` installs it."""

ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The one account that azurite has; its key is in its documentation."""

CONTAINER = "sessions"


class AzureServer(ServerProcess):
    """One server in a process of its own, with one container; `with AzureServer() as server: ...`."""

    def __init__(self) -> None:
        super().__init__(str(Path(__file__)))
        self.endpoint_url = self.said
        self._numbers = itertools.count()

    @property
    def storage_options(self) -> dict[str, Any]:
        """What adlfs needs to reach this server."""
        return {"connection_string": connection_string(self.endpoint_url)}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, which fsspec reads in any process."""
        return {f"FSSPEC_ABFS_{name.upper()}": str(value) for name, value in self.storage_options.items()}

    def new_url(self) -> str:
        """A place in the container that nobody has used, such as "abfs://sessions/place-3"."""
        return f"abfs://{CONTAINER}/place-{next(self._numbers)}"


def connection_string(endpoint_url: str, key: str = ACCOUNT_KEY) -> str:
    """Account, key and address in Azure's own form."""
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint_url};"


def need_azurite() -> None:
    """Skip where azurite cannot be run, but fail in a continuous integration (the environment says CI=true)."""
    reason = ""
    if shutil.which("node") is None:
        reason = "azurite needs Node.js, which is not installed here"
    elif not AZURITE.exists():
        reason = "azurite is not installed; `make test` does it where npm and the network are"
    if reason and os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def serve() -> None:
    """Run the server until standard input closes."""
    from azure.storage.blob import BlobServiceClient

    with program_on_a_port(_command) as port:
        endpoint_url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        with BlobServiceClient.from_connection_string(connection_string(endpoint_url)) as client:
            client.create_container(CONTAINER).close()
        serve_until_input_closes(endpoint_url)


def _command(port: int) -> list[str]:
    # The client speaks newer versions of the protocol than the server knows, and uses nothing of what is new in them.
    options = ("--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck")
    return ["node", str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]


if __name__ == "__main__":
    serve()
