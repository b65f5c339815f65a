"""Taking over what another session has extracted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsession.clock import Clock
from mlsession.errors import DamagedData, IncompatibleParameters, UsageError
from mlsession.events import Event
from mlsession.session.identity import Identity, check_compatible
from mlsession.session.log.blobs import as_written
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.log.members import as_list, as_object, as_text
from mlsession.session.log.records import Outcome
from mlsession.session.opening import attach, open_session, repeating, require_session
from mlsession.session.phase import Json, Past, Phase
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
    _check_candidate(_extractor(Identity.from_record(known.timeline.opened)), made_by(donor.identity, donor.past))
    ref = attach(store, Donor(url=redact(donor.url), checkpoint=extracted.number).encode())
    options = repeating(known.timeline.opened, stale_after)
    writer, _ = open_session(
        store, clock, replace(options, attachments={**options.attachments, DONOR: ref}), emit, known
    )
    writer.close(Outcome.PAUSED, f"takes over the features of {redact(donor.url)}")


def check_alike(ours: Identity, theirs: Identity) -> None:
    """Raises `IncompatibleParameters` if features of the two differ for the same image.

    Of extractors that the sessions choose nothing is known here; see `made_by`.
    """
    if ours.task != theirs.task:
        raise IncompatibleParameters("task", theirs.task, ours.task, _CURE)
    if not (_candidates(_extractor(ours)) or _candidates(_extractor(theirs))):
        check_compatible(_extractor(theirs), _extractor(ours), _CURE, "algorithm.feature_extractor.")
    check_compatible(_numerics(theirs), _numerics(ours), _CURE, "numerics.extractor.")


def made_by(identity: Identity, past: Past) -> str:
    """The identity of the extractor that has made a session's features: the one given, or of candidates the one that it
    had chosen by then, see `phases.choose`; "" for a task that has none. Raises `DamagedData`.
    """
    found = _extractor(identity)
    if candidates := _candidates(found):
        with as_written("state of choosing"):
            return candidates[as_text(as_object(past.state(Phase.CHOOSING).data["chosen"])["kept"])]
    return str(found.get("identity", ""))


def check_made_by(theirs: str, ours: str) -> None:
    """Raises `IncompatibleParameters` for the features of another extractor than ours, by `identity`."""
    if theirs != ours:
        raise IncompatibleParameters("algorithm.feature_extractor.identity", theirs, ours, _CURE)


def _check_candidate(ours: Mapping[str, Json], theirs: str) -> None:
    """Whether a donor's extractor is what ours is to be, or may become."""
    candidates = _candidates(ours)
    if theirs not in candidates.values():
        check_made_by(theirs, ", ".join(candidates) if candidates else str(ours.get("identity", "")))


def _candidates(extractor: Mapping[str, Json]) -> dict[str, str]:
    """The identities of those that are chosen from, by name; {} where the extractor is given."""
    with as_written("the session's parameters"):
        found = [as_object(each) for each in as_list(extractor.get("candidates", []))]
        return {as_text(each["name"]): as_text(each["identity"]) for each in found}


def _extractor(identity: Identity) -> dict[str, Json]:
    """What the parameters say of the extractor, for a task that has one."""
    algorithm = identity.parameters.get("algorithm")
    found = algorithm.get("feature_extractor") if isinstance(algorithm, dict) else None
    return found if isinstance(found, dict) else {}


def _numerics(identity: Identity) -> dict[str, Json]:
    """What gives features their bits; what makes the pixels of views tells them apart by their keys."""
    found = identity.numerics.get("extractor")
    return found if isinstance(found, dict) else {}
