"""Where the weights of a session's extractor lie now, if not where its record says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mlsession.extractors.custom.options import must_be_given
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Json
from mlsession.training.parameters import EXTRACTOR_WEIGHTS


def relocated(
    stored: Mapping[str, Json], settings: Mapping[str, Json], extractor_weights: str | None
) -> Mapping[str, Json]:
    """A session's settings with the weights of its extractor in another place; None leaves them where they were.

    `stored` is what the session fixes. An extractor that runs code of its own is nowhere unless `extractor_weights`
    says where: no record does, whatever it holds.
    """
    if extractor_weights is not None:
        return {**settings, EXTRACTOR_WEIGHTS: extractor_weights}
    with as_written("the session's parameters"):
        extractor = cast(dict[str, dict[str, Json]], stored["algorithm"])["feature_extractor"]
    return {**settings, EXTRACTOR_WEIGHTS: None} if must_be_given(extractor) else settings
