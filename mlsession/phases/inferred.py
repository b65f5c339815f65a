"""What inferencing leaves behind, for those who only read it; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlsession.errors import UnreadableImage
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_list, as_text
from mlsession.session.phase import Json, PhaseState


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """How far inferencing has come, and what could not be read: the state of the phase."""

    num_images: int = 0
    """Images done, also those that cannot be read."""
    num_skipped: int = 0
    """Of these, those that cannot be read."""
    first_skipped: int = 0
    """The row of the first of them, if there is one."""
    reasons: tuple[str, ...] = ()
    """Why they cannot be, each reason once, in the order in which they were met: the first is that of the first row."""

    @classmethod
    def of(cls, state: PhaseState) -> Inferred:
        """Reads a state of the phase. Raises `DamagedData`."""
        with as_written("state of inferencing"):
            counts = {name: as_count(state.data[name]) for name in ("num_images", "num_skipped", "first_skipped")}
            return cls(**counts, reasons=tuple(as_text(reason) for reason in as_list(state.data["reasons"])))

    def state(self) -> PhaseState:
        """The same as a state of the phase."""
        reasons: list[Json] = list(self.reasons)
        return PhaseState(
            {},
            {
                "num_images": self.num_images,
                "num_skipped": self.num_skipped,
                "first_skipped": self.first_skipped,
                "reasons": reasons,
            },
        )

    def check_all_readable(self, keys: Sequence[str]) -> None:
        """Raises `UnreadableImage` for the first image that cannot be read, if there is one."""
        if self.num_skipped:
            raise UnreadableImage(keys[self.first_skipped], self.reasons[0])
