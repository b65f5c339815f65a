"""Without albumentations and coremltools only what needs them fails, before any work, and says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.photos import copy_photos

pytestmark = pytest.mark.sampled(0.5)

LABELS = ("Kiwi", "Lemon")

RUN = """
import sys

class Without:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in ("albumentations", "coremltools", "cv2")
        return None if hidden else self._finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
for name in ("albumentations", "coremltools"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit("the packages are not blocked")
from mlsession.cli.__main__ import main
import json
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["mlsession", *words]
    try:
        main()
    except SystemExit as ended:
        codes.append(ended.code or 0)
    else:
        codes.append(0)
print("codes", *codes)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 3, LABELS)


def run(*commands: tuple[str | Path, ...]) -> tuple[list[int], str, str]:
    """The exit codes, what was printed and what was said of one process that runs several commands."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", RUN, words], capture_output=True, text=True, check=True, timeout=200)
    return [int(code) for code in done.stdout.splitlines()[-1].split()[1:]], done.stdout, done.stderr


def test_all_else_works(photos: Path, tmp_path: Path) -> None:
    session, photo = tmp_path / "a.mlsession", next(photos.rglob("*.jpg"))
    saved, test = tmp_path / "model.safetensors", photos
    codes, printed, said = run(
        ("train", photos, "--session", session, "--test", test, "--cache", "none", "--export", saved),
        ("predict", saved, photo),
        ("status", session),
        ("evaluate", session, test),
    )
    assert codes == [0, 0, 0, 0], said
    assert "Kiwi" in printed
    assert saved.is_file()


def test_what_needs_them_says_so_before_any_work(photos: Path, tmp_path: Path) -> None:
    session = tmp_path / "b.mlsession"
    codes, _, said = run(
        ("train", photos, "--session", session, "--augment", "flip"),
        ("train", photos, "--session", session, "--export", tmp_path / "Model.mlmodel"),
        ("train", photos, "--session", session, "--export", tmp_path / "Model.mlpackage"),
    )
    assert codes == [1, 1, 1], said
    assert said.count("pip install 'albumentations>=2.0.8,<2.1'") == 1
    assert said.count("pip install coremltools") == 2
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
