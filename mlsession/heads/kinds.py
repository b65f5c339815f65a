"""Heads and their options by the kind that is recorded with them; no torch.

The kind of what was stored is always read, never guessed from the names of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.heads.logistic.head import LogisticHead
from mlsession.heads.options import LOGISTIC, PERCEPTRON
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.heads.protocol import Head
from mlsession.session.phase import Arrays, Json

_HEADS: Mapping[str, Callable[[Arrays], Head]] = MappingProxyType(
    {LOGISTIC: LogisticHead.from_tensors, PERCEPTRON: PerceptronHead.from_tensors}
)


def head_from_tensors(kind: Json, tensors: Arrays) -> Head:
    """What `Head.tensors` gave, for `Head.kind`.

    Raises `InvalidParameter` for a kind that this version does not have, `DamagedData` for tensors of another head.
    """
    if not isinstance(kind, str):
        raise DamagedData("head", "its kind is not recorded")
    if kind not in _HEADS:
        raise InvalidParameter("head", kind, f"this version of mlsession has {' and '.join(_HEADS)}")
    try:
        return _HEADS[kind](tensors)
    except InvalidParameter as error:
        raise DamagedData("head", f"its tensors are not those of a {kind}: {error}") from error
