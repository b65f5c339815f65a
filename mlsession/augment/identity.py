"""What gives augmented pixels their bits; known without loading any of it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from mlsession.errors import UsageError

EFFECTS_REVISION = 1
"""Rises with any change in `transforms` that can change a pixel."""

_OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")


def augmenter_identity() -> str:
    """As a session records it, and as the feature cache tells views apart."""
    return f"effects/{EFFECTS_REVISION} albumentations {_version('albumentations')} opencv {_version(*_OPENCV)}"


def installed_augmenter() -> str:
    """`augmenter_identity` for a session that is going to make views. Raises `UsageError` where it cannot."""
    if find_spec("albumentations") is None:
        raise missing_augmenter()
    return augmenter_identity()


def missing_augmenter(reason: str = "which is not installed") -> UsageError:
    """What to say where it cannot be loaded."""
    return UsageError(f"augmented views need albumentations, {reason}; pip install 'albumentations>=2.0.8,<2.1'")


def _version(*names: str) -> str:
    """The version of the first of some distributions that is installed."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
