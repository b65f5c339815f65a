"""docs/data.md: its examples run, one after the other, and its lists are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mlsession as ml
from mlsession.data.names import IMAGE_SUFFIXES, MANIFEST_SUFFIXES, PART_NAMES, SYSTEM_NAMES
from tests.data.test_source import make
from tests.servers.files import file_server

DOCUMENT = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
PHOTOS = [f"{label}/{row}.jpg" for label, rows in (("cat", range(1, 3)), ("dog", range(3, 7))) for row in rows]


def test_the_examples_run(tmp_path: Path) -> None:
    make(tmp_path / "animals", *PHOTOS)
    make(tmp_path, *(f"flat/{key.replace('/', '.')}" for key in PHOTOS))
    make(tmp_path, *(f"folds/fold1-{key.replace('/', '-')}" for key in PHOTOS))
    served = {f"/animals/{key}": key.encode() for key in PHOTOS}
    named = ("animals", "flat", "folds", "named", "listed", "other", "table", "pairs", "zipped", "tarred", "urls")
    check = "".join(f"print({name!r}, {name}.index().class_counts.tolist())\n" for name in (*named, "dataset", "train"))
    with file_server(served) as url:
        blocks = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
        assert len(blocks) > 8
        program = "\n".join(blocks).replace("http://127.0.0.1:8000", url)
        (tmp_path / "program.py").write_text(program + check, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
    assert done.stderr == ""
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines()[-13:])
    full, some = "[2, 4]", "[1, 1]"
    assert found == {
        **dict.fromkeys(("animals", "flat", "folds", "zipped", "tarred"), full),
        **dict.fromkeys(("named", "listed", "other", "table", "pairs", "urls"), some),
        "dataset": "[3, 3]",
        "train": "[2, 3]",
    }
    assert done.stdout.startswith("('cat', 'dog')\n")


def test_every_name_that_counts_is_listed() -> None:
    (suffixes,) = re.findall(r"^`((?:\.\w+ ?){10,})`", DOCUMENT, re.MULTILINE)
    assert sorted(suffixes.split()) == suffixes.split()
    assert set(suffixes.split()) == IMAGE_SUFFIXES
    for name in (*MANIFEST_SUFFIXES, *(each for names in PART_NAMES.values() for each in names)):
        assert f"`{name}`" in DOCUMENT
    assert all(f"`{name}" in DOCUMENT.lower() for name in SYSTEM_NAMES)


def test_every_source_is_in_the_first_table() -> None:
    table = DOCUMENT.partition("\n\n")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `DataSource\.(\w+)\(", table, re.MULTILINE)
    makers = ("labeled_directories", "labeled_files", "files_by_label", "manifest", "table", "dataset")
    assert tuple(named) == makers
    others = {"from_json"}
    made = {name for name, each in vars(ml.DataSource).items() if isinstance(each, classmethod)} - others
    assert made == set(makers)
