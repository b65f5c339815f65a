"""Fixtures for the whole suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.recovery.nursery import Nursery
from tests.sampling import SEED, left_out, sample_seed
from tests.servers.azure import AzureServer, need_azurite
from tests.servers.backends import CLOUDS, Backend, backend_of
from tests.servers.ftp import FtpServer
from tests.servers.gcs import PLAIN_BUCKETS, FakeGcsServer, GcsServer
from tests.servers.s3 import S3Server

# The same examples in every run, and no verdict by the clock of a busy machine.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the suite in the background makes it deaf to Ctrl-C, and so all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # The same for `nohup`.

LONGEST = (
    *(f"recovery/test_{name}.py" for name in ("kills", "two_writers", "disk_full", "signals", "storm", "backends")),
    *(f"training/test_{name}.py" for name in ("exporting", "sessions", "never_twice", "changes", "updating")),
    *(f"extractors/test_{name}.py" for name in ("lite", "library_networks")),
    *(f"cli/test_{name}.py" for name in ("remote", "watch", "train")),
    *(f"export/test_{name}.py" for name in ("coreml", "networks")),
    *("examples/test_image_examples.py", "examples/test_monte_carlo.py"),
    *("security/test_credentials.py", "store/test_credentials.py", "store/test_remote.py"),
)
"""Test files that take the longest, those first: with several processes none is left for the end."""

# Before anything imports gcsfs; tests/servers/gcs.py says why.
os.environ.update(PLAIN_BUCKETS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sampled", action="store_true", help="take a share of the cases that are marked `sampled`")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sampled(share): with --sampled, of these cases of a file that share is run")
    sample_seed()  # Before other processes are started, which take the same cases.


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Draws what to take of the sampled, and puts the `LONGEST` files first; `make test` has xdist keep the order."""
    if config.getoption("--sampled"):
        _draw(config, items)
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def _draw(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases: dict[str, list[str]] = {}
    shares: dict[str, float] = {}
    for item in items:
        if (marker := item.get_closest_marker("sampled")) is not None:
            file = item.nodeid.partition("::")[0]
            cases.setdefault(file, []).append(item.nodeid)
            shares[file] = marker.args[0]
    out = left_out(cases, shares, sample_seed())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in out])
    items[:] = [item for item in items if item.nodeid not in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--sampled"):
        said = f"of long matrices a share was run, drawn with {SEED}={sample_seed()}; `make test-all` runs all"
        terminalreporter.write_line(said)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3-protocol server on loopback; subprocesses of a test reach it too."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """A real Azure Blob server on loopback; skips where there is none, fails there if CI=true."""
    need_azurite()
    with AzureServer() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """Our own double of Google Cloud Storage on loopback, which keeps every condition."""
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs_server() -> Iterator[FakeGcsServer]:
    """fake-gcs-server on loopback: keeps conditions on small objects only."""
    with FakeGcsServer() as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpServer]:
    """A real FTP server on loopback: no exclusive creation."""
    with FtpServer(tmp_path_factory.mktemp("ftp")) as server:
        yield server


@pytest.fixture(params=CLOUDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each of `CLOUDS`; others by `@pytest.mark.parametrize("backend", [...], indirect=True)`."""
    return backend_of(request.param, tmp_path / "backend", request.getfixturevalue)


@pytest.fixture(scope="session")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Forks whole commands and scripts, which need not import torch themselves."""
    with Nursery(tmp_path_factory.mktemp("trainers"), "everything") as nursery:
        yield nursery


@pytest.fixture(scope="session")
def small() -> bytes:
    """An `.mlmodel` of `SmallClassifier(3)`: three plain labels, no metadata."""
    from mlsession.export import ModelMetadata
    from mlsession.export.coreml import convert_mlmodel
    from tests.export.networks import LABELS, SIDE, SmallClassifier

    return convert_mlmodel(SmallClassifier(3), LABELS, ModelMetadata(), SIDE)


@pytest.fixture(scope="session")
def small_package() -> dict[str, bytes]:
    """The files of an `.mlpackage` of `SmallClassifier(3)`: three plain labels, no metadata."""
    from mlsession.export import ModelMetadata
    from mlsession.export.mlpackage import convert_mlpackage
    from tests.export.networks import LABELS, SIDE, SmallClassifier

    return convert_mlpackage(SmallClassifier(3), LABELS, ModelMetadata(), SIDE)
