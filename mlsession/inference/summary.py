"""What is to be said of a session of predictions at one moment, as one value read from its store alone; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData
from mlsession.inference.inputs import IMAGES_INDEX, TASK
from mlsession.phases.inferred import Inferred
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_object, as_text
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.session.watching.status import Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictionSummary:
    """A session of predictions at one moment; `mlsession status` prints it."""

    url: str
    status: Status
    reason: str
    """Why it stopped, as far as it said so; "" otherwise."""
    phase: str
    iteration: int
    """Of the newest checkpoint."""
    date: datetime
    """When the newest record was written, UTC."""
    heartbeat_age: float | None
    """Seconds since the last sign of life, by the wall clocks of two machines; None unless it is running."""
    data: str
    """Where the images are."""
    output: str
    """Where the predictions go."""
    model_digest: str
    """See `classifier.model.tensor_digest`."""
    num_images: int
    """As they were listed."""
    num_done: int
    num_skipped: int
    """Of those done, the ones that cannot be read; the output names them."""
    num_checkpoints: int
    checkpoints: tuple[Checkpoint, ...]
    """All of them, oldest first; where they were not asked for, the newest one."""
    damaged: tuple[str, ...] = ()
    """What could not be read because its stored bytes are not those that were written."""

    @classmethod
    def of(cls, session: TrainingSession, *, all_checkpoints: bool = True) -> PredictionSummary:
        """Reads a session of predictions; disturbs no writer.

        Raises `StoreError`, and `DamagedData` where even the index of its images cannot be read.
        """
        status, settings, closed = session.status, session.settings, session.timeline.closed
        done, damaged = Inferred(), list[str]()
        newest = session.timeline.newest.get(Phase.INFERENCING)
        replaced = session.attachments.get(IMAGES_INDEX)
        if newest is not None and newest.inputs == ("" if replaced is None else replaced.sha256):
            try:
                done = Inferred.of(session.past.state(Phase.INFERENCING))
            except DamagedData as damage:
                damaged.append(str(damage))
        with as_written("the session's parameters"):
            digest = as_text(as_object(session.identity.parameters["model"])["digest"])
        source = settings.get("source")
        return cls(
            url=session.url,
            status=status,
            reason=str(closed.body.get("reason", "")) if closed else "",
            phase=session.phase,
            iteration=session.iteration,
            date=session.date,
            heartbeat_age=session.heartbeat_age if status is Status.RUNNING else None,
            data=str(source.get("url", "")) if isinstance(source, dict) else "",
            output=str(settings.get("output", "")),
            model_digest=digest,
            num_images=len(ImageIndex.from_bytes(session.attachment(IMAGES_INDEX))),
            num_done=done.num_images,
            num_skipped=done.num_skipped,
            num_checkpoints=session.num_checkpoints,
            checkpoints=session.checkpoints if all_checkpoints else tuple(filter(None, [session.newest_checkpoint])),
            damaged=tuple(damaged),
        )

    def to_json(self) -> dict[str, object]:
        """A JSON object with the same members."""
        return {
            "url": self.url,
            "status": self.status.value,
            "reason": self.reason,
            "phase": str(self.phase),
            "iteration": self.iteration,
            "date": self.date.isoformat(),
            "heartbeat_age": self.heartbeat_age,
            "data": self.data,
            "output": self.output,
            "model_digest": self.model_digest,
            "counts": {"images": self.num_images, "done": self.num_done, "skipped": self.num_skipped},
            "checkpoints": [checkpoint.to_json() for checkpoint in self.checkpoints],
            "damaged": list(self.damaged),
        }


def is_prediction(session: TrainingSession) -> bool:
    """Whether a session is one of predictions."""
    return session.identity.task == TASK
