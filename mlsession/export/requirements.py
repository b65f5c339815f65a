"""What has to be installed for a format, found out without loading any of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from mlsession.coreml.silence import check_coremltools
from mlsession.errors import UsageError

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({".onnx": ("onnx", "onnxscript", "onnxruntime")})
"""By suffix, where an extra of this package brings them; the extra is called like the suffix."""


def check_installed(suffix: str) -> None:
    """Raises `UsageError` with the command where a package that a format needs is not installed."""
    if suffix in (".mlmodel", ".mlpackage"):
        check_coremltools()
    for package in PACKAGES.get(suffix, ()):
        if find_spec(package) is None:
            raise UsageError(
                f"{suffix} files need {package}, which is not installed; pip install 'mlsession[{suffix[1:]}]'"
            )
