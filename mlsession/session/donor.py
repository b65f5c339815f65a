"""Taking over what another session has extracted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsession.clock import Clock
from mlsession.errors import DamagedData, IncompatibleParameters, UsageError
from mlsession.events import Event
from mlsession.session.identity import Identity, check_compatible
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.log.records import Outcome
from mlsession.session.opening import attach, open_session, repeating, require_session
from mlsession.session.phase import Json, Phase
from mlsession.store import redact
from mlsession.store.protocol import Store

if TYPE_CHECKING:
    from mlsession.session.session import TrainingSession

DONOR = "donor"
"""The attachment that names a donor."""
_CURE = "features of one mean nothing to the other; choose a donor with the same, or do without"


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """An extraction whose features may be taken over: a session as of one checkpoint."""

    url: str | None
    """The session's folder, without credentials; None for the session that says so itself."""
    checkpoint: int

    def encode(self) -> bytes:
        """The stored form: canonical JSON."""
        return canonical_json({"url": self.url, "checkpoint": self.checkpoint})

    @staticmethod
    def decode(data: bytes) -> Donor:
        """Reads `encode` back. Raises `DamagedData`."""
        members = parse_object(data, DONOR)
        url, checkpoint = members.get("url"), members.get("checkpoint")
        if not (url is None or isinstance(url, str)) or not isinstance(checkpoint, int):
            raise DamagedData(DONOR, "it names no checkpoint of a session")
        return Donor(url=url, checkpoint=checkpoint)


def accept_donor(
    store: Store, clock: Clock, stale_after: float, donor: TrainingSession, emit: Callable[[Event], None]
) -> None:
    """Writes into the session under the store's root that it takes over what `donor` has extracted.

    Which rows fit is decided when it extracts, by the contents of the images; what the donor has not, and all of it
    should the donor be gone by then, is extracted. Raises `UsageError` where this session has checkpoints already or
    the donor has not finished extracting, `IncompatibleParameters` where the two extract otherwise, `SessionInUse`.
    """
    known = require_session(store)
    if known.timeline.newest:
        raise UsageError(
            f"{store.url} has checkpoints already; features can only be reused in a session that has none: "
            "make a new one"
        )
    extracted = donor.timeline.newest.get(Phase.EXTRACTING)
    if extracted is None or not extracted.ended:
        raise UsageError(f"{donor.url} has not finished extracting; let it go on first, or choose another donor")
    check_alike(Identity.from_record(known.timeline.opened), donor.identity)
    ref = attach(store, Donor(url=redact(donor.url), checkpoint=extracted.number).encode())
    options = repeating(known.timeline.opened, stale_after)
    writer, _ = open_session(
        store, clock, replace(options, attachments={**options.attachments, DONOR: ref}), emit, known
    )
    writer.close(Outcome.PAUSED, f"takes over the features of {redact(donor.url)}")


def check_alike(ours: Identity, theirs: Identity) -> None:
    """Raises `IncompatibleParameters` if features of the two differ for the same image."""
    if ours.task != theirs.task:
        raise IncompatibleParameters("task", theirs.task, ours.task, _CURE)
    check_compatible(_extractor(theirs), _extractor(ours), _CURE, "algorithm.feature_extractor.")
    check_compatible(_numerics(theirs), _numerics(ours), _CURE, "numerics.extractor.")


def _extractor(identity: Identity) -> dict[str, Json]:
    """What the parameters say of the extractor, for a task that has one."""
    algorithm = identity.parameters.get("algorithm")
    found = algorithm.get("feature_extractor") if isinstance(algorithm, dict) else None
    return found if isinstance(found, dict) else {}


def _numerics(identity: Identity) -> dict[str, Json]:
    """What gives features their bits; what makes the pixels of views tells them apart by their keys."""
    found = identity.numerics.get("extractor")
    return found if isinstance(found, dict) else {}
