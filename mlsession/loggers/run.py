"""The run that a session is to its loggers: one for all its attempts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlsession.errors import InvalidParameter
from mlsession.session.identity import Identity
from mlsession.session.log.journal import LogState
from mlsession.session.phase import Json
from mlsession.store.location import is_local, local_path, url_name

FOLDER = "lightning_logs"
"""Where named loggers write if no folder is given: beside the session, of one elsewhere in the current folder."""
ID_LENGTH = 16
"""Of the 32 hexadecimal digits of a session's id: enough for all sessions that anybody will ever compare."""
_SUFFIX = ".mlsession"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """What loggers have to know of a session."""

    id: str
    """The beginning of the session's random id: the same in each attempt, wherever that runs, another in any other
    session."""
    name: str
    """What people call the session."""
    directory: str
    """The local folder for loggers that were given none."""
    parameters: Mapping[str, Json]
    """What the session was made with; never differs from one attempt to the next."""


def run_of(known: LogState, url: str, temporary: bool) -> LoggedRun:
    """The run of a session at a URL. Raises `DamagedData` where its log does not say what it was made with."""
    return LoggedRun(
        id=known.timeline.tip.session[:ID_LENGTH],
        name=name_of(url),
        directory=directory_of(url, temporary),
        parameters=dict(Identity.from_record(known.timeline.opened).parameters),
    )


def name_of(url: str) -> str:
    """The session's name, without `.mlsession`, of letters that every file system and every logger takes."""
    try:
        name = url_name(url).removesuffix(_SUFFIX)
    except InvalidParameter:
        name = ""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "session"


def directory_of(url: str, temporary: bool) -> str:
    """Beside the session where that lies in a folder of this machine, for good; else in the current folder."""
    if temporary or not is_local(url):
        return str(Path.cwd() / FOLDER)
    return str(Path(local_path(url)).absolute().parent / FOLDER)
