"""What has to be installed for a format."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from mlsession.coreml.silence import check_coremltools, coremltools_module
from mlsession.errors import UsageError

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({".onnx": ("onnx", "onnxscript", "onnxruntime")})
"""By suffix, where an extra of this package brings them; the extra is called like the suffix."""
_COREML = (".mlmodel", ".mlpackage")


def load_deaf(suffix: str) -> None:
    """Imports what would make the end by a signal its own: coremltools takes it for a package that is missing.

    To be called before an export that a signal may end, which is to be looked for afterwards.
    """
    if suffix in _COREML:
        coremltools_module()


def check_installed(suffix: str) -> None:
    """Raises `UsageError` with the command where a package that a format needs is not installed; loads none of them."""
    if suffix in _COREML:
        check_coremltools()
    for package in PACKAGES.get(suffix, ()):
        if find_spec(package) is None:
            raise UsageError(
                f"{suffix} files need {package}, which is not installed; pip install 'mlsession[{suffix[1:]}]'"
            )
