"""What plots share: labels on one line, no global state, and a cure where matplotlib is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlsession.plots.figure import short_label


@pytest.mark.parametrize(
    ("label", "columns", "shown"),
    [
        ("cat", 3, "cat"),
        ("catfish", 4, "cat…"),
        ("猫猫猫", 6, "猫猫猫"),
        ("猫猫猫", 5, "猫猫…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("a\nb\x1b", 9, "a\ufffdb\ufffd"),
        ("", 5, ""),
    ],
)
def test_labels_are_cut_to_columns(label: str, columns: int, shown: str) -> None:
    assert short_label(label, columns) == shown


def test_without_matplotlib_the_cure_is_said() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import mlsession as ml\n"
        "try:\n    ml.plot_history({'accuracy': [1.0], 'loss': [0.5]})\n"
        "except ml.MLSessionError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'mlsession[plots]'" in out


def test_pyplot_is_left_alone() -> None:
    code = (
        "import sys, mlsession as ml\n"
        "assert 'matplotlib' not in sys.modules\n"
        "ml.plot_history({'accuracy': [1.0], 'loss': [0.5]})\n"
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
