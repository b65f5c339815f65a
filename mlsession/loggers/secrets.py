"""Keeping a logger's credentials out of what is said of it: its libraries put URLs and keys into their errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

from mlsession.session.loggers import LoggerName, MetricsLogger
from mlsession.store.location import url_secrets
from mlsession.store.scrubbing import SHORTEST_ANYWHERE, Scrubber

_SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|API_?KEY|ACCESS_?KEY|CREDENTIAL")
"""In the name of a variable of the environment, such as MLFLOW_TRACKING_PASSWORD and WANDB_API_KEY."""


def logger_scrubber(choice: LoggerName | MetricsLogger, environment: Mapping[str, str] | None = None) -> Scrubber:
    """Takes out of a text the credentials of URLs, of the logger's own wherever they stand, and the environment's."""
    found = os.environ if environment is None else environment
    place = choice.directory if isinstance(choice, LoggerName) else getattr(choice, "_tracking_uri", None)
    url = str(place or "")
    named = [value for name, value in found.items() if _SECRET.search(name.upper())]
    secrets = [value for value in named if len(value) >= SHORTEST_ANYWHERE]
    # Servers and clients quote what they were given as they have decoded it.
    return Scrubber(url, {"secrets": [*secrets, *map(unquote, url_secrets(url))]})
