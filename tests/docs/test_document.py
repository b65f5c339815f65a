"""What docs/format.md states outright is so, and its reader knows nothing of the library."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from mlsession.cache.packs import PACK_ROWS
from mlsession.phases.extract import ROWS
from mlsession.phases.features import BLOCK
from mlsession.phases.pictures import BATCH
from mlsession.session.log.canonical import MAX_DEPTH
from mlsession.session.log.layout import FORMAT
from mlsession.session.log.pages import PAGE, TAIL
from mlsession.session.log.records import MOST_BYTES, Record
from mlsession.session.opening import OpenOptions
from mlsession.session.upkeep.removal import MOST_CHECKPOINTS, MOST_KEYS
from mlsession.session.watching.liveness import BEAT_SECONDS
from mlsession.store.keys import temporary_name

from .stored import is_sealed

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"


def test_the_record_in_the_document_is_one() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    (data,) = re.findall(r"```text\n(\{.*\})\n```", text)
    assert is_sealed(data.encode())
    number = json.loads(data)["number"]
    assert Record.decode(data.encode(), number).encode() == data.encode()


def test_the_numbers_in_the_document_are_those_of_the_code() -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    for stated in (
        f"version {FORMAT}",
        f"shorter than {MOST_BYTES:,} bytes",
        f"nested at most {MAX_DEPTH} deep",
        f"after {TAIL} records of tail",
        f"up to {PAGE:,} items",
        f"at most {MOST_CHECKPOINTS:,} whole numbers",
        f"at most {MOST_KEYS:,}: keys of blobs",
        f"overwritten every {BEAT_SECONDS:.0f} seconds",
        f"still for {OpenOptions().stale_after:.0f} seconds",
        f"a batch of images: {BATCH} of one row each",
        f"no more than {ROWS} rows",
        f"a batch of {BATCH} test images",
        f"a block of {BLOCK:,} rows",
        f"n up to {PACK_ROWS:,}",
        f"{temporary_name(0)[:-16]}` and 16 hexadecimal digits",
    ):
        assert stated in text


@pytest.mark.parametrize("module", ["reader", "stored"])
def test_the_reader_knows_nothing_of_the_library(module: str) -> None:
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert names <= {*sys.stdlib_module_names, "collections.abc", "numpy"}
    beside = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
    assert beside <= {"stored"}
