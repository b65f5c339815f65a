"""The features that a session takes over, found through the donor that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlsession.augment.views import ViewPlan
from mlsession.errors import DamagedData
from mlsession.phases.cache import view_key
from mlsession.phases.donation import DonatedRows, collect_rows
from mlsession.phases.recorded import AUGMENTER
from mlsession.session.donor import DONOR, Donor, check_alike, check_made_by, made_by
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import as_written, read_blob
from mlsession.session.log.members import as_count
from mlsession.session.log.records import BlobRef
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.phase import Arrays, Phase
from mlsession.session.session import TrainingSession
from mlsession.store import open_store
from mlsession.store.protocol import Store
from mlsession.training.parameters import recorded_views


def donation_of(
    session: TrainingSession,
    own: Callable[[], Store],
    storage_options: Mapping[str, object],
    store: Store,
    attachments: Mapping[str, BlobRef],
) -> Callable[[str], DonatedRows] | None:
    """What reads the donor that the `attachments` of an opening in `store` name, if they do; see `donated_rows`.

    It is told the identity of the extractor whose features are wanted.
    """
    if DONOR not in attachments:
        return None
    named, identity = attachments[DONOR], session.identity

    def read(extractor: str) -> DonatedRows:
        return donated_rows(Donor.decode(read_blob(store, named)), identity, extractor, own, storage_options)

    return read


def donated_rows(
    donor: Donor, identity: Identity, extractor: str, own: Callable[[], Store], storage_options: Mapping[str, object]
) -> DonatedRows:
    """All that is whole of what a donor has extracted, for the session of this `identity`, whose folder `own` opens.

    `extractor` is the identity of the one that it uses.

    Raises `SessionNotFound` or `NoUsableCheckpoint` where the donor is gone, `IncompatibleParameters` where it
    extracts otherwise, `DamagedData`, `StoreError`.
    """
    url = donor.url
    opened = own if url is None else lambda: open_store(url, storage_options)
    with TrainingSession(opened, SessionParameters()) as session:
        check_alike(identity, session.identity)
        plan = recorded_views(session.identity.parameters)
        augmenter = str(session.identity.numerics.get(AUGMENTER, ""))
        past = session.at_checkpoint(donor.checkpoint)
        check_made_by(made_by(session.identity, past), extractor)
        with as_written("donor"):
            rows = past.whole_rows(Phase.EXTRACTING)
            return collect_rows(rows, _most_rows(past), lambda block: _keys(block, plan, augmenter))


def _most_rows(past: StoredPast) -> int:
    """As many rows as there are, or more."""
    try:
        return as_count(past.state(Phase.EXTRACTING).data["rows"])
    except DamagedData:
        return sum(len(block["view"]) for block in past.whole_rows(Phase.EXTRACTING))


def _keys(block: Arrays, plan: ViewPlan, augmenter: str) -> list[bytes]:
    rows = zip(block["digest"], block["view"].tolist(), block["readable"].tolist(), strict=True)
    return [view_key(plan, augmenter, digest.tobytes(), view) if readable else b"" for digest, view, readable in rows]
