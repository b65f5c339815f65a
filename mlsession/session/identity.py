"""What a session is: fixed in record 0, repeated by every opening, compared at every restore. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsession.errors import DamagedData, IncompatibleParameters
from mlsession.session.log.blobs import as_written
from mlsession.session.log.canonical import canonical_json
from mlsession.session.log.layout import record_key
from mlsession.session.log.members import as_list, as_object, as_text
from mlsession.session.log.records import BlobRef, JsonObject, Record
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The part of a session that never changes."""

    task: str
    phases: tuple[str, ...] = ()
    """The task's phases in order, so that a reader that does not know the task knows which commits count."""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    """What matters to the result; another value is refused at restore.

    A parameter that a later version adds is left out while it has its default, so that old sessions go on.
    """
    attachments: Mapping[str, BlobRef] = field(default_factory=dict)
    """Named inputs, such as the index of the training data."""
    numerics: Mapping[str, Json] = field(default_factory=dict)
    """The numerics id: everything that can change bits."""
    exclusive: bool = True
    """The store creates keys exclusively, so a second writer is kept out."""

    def to_json(self) -> JsonObject:
        return {
            "task": self.task,
            "phases": list(self.phases),
            "parameters": dict(self.parameters),
            "attachments": {name: ref.to_json() for name, ref in self.attachments.items()},
            "numerics": dict(self.numerics),
            "exclusive": self.exclusive,
        }

    @staticmethod
    def from_record(record: Record) -> Identity:
        """The identity that a `created` or `opened` record states. Raises `DamagedData`."""
        try:
            body = as_object(record.body["identity"])
            return Identity(
                task=as_text(body["task"]),
                phases=tuple(as_text(phase) for phase in as_list(body["phases"])),
                parameters=as_object(body["parameters"]),
                attachments={name: BlobRef.from_json(ref) for name, ref in as_object(body["attachments"]).items()},
                numerics=as_object(body["numerics"]),
                exclusive=body["exclusive"] is True,
            )
        except (KeyError, ValueError) as error:
            raise DamagedData(record_key(record.number), f"it does not say what the session is ({error})") from error


def opened_attachments(opened: Record) -> dict[str, BlobRef]:
    """The inputs that an `opened` record brings; none of `created`, whose inputs are part of what the session is.

    Raises `DamagedData`.
    """
    attachments = opened.body.get("attachments")
    with as_written(record_key(opened.number)):
        return {name: BlobRef.from_json(ref) for name, ref in as_object(attachments or {}).items()}


def check_compatible(original: Mapping[str, Json], new: Mapping[str, Json], cure: str, prefix: str = "") -> None:
    """Raises `IncompatibleParameters` naming the first parameter that differs, nested ones as `outer.inner`."""
    # Of what is of another kind altogether, that it is says most.
    for name in sorted({*original, *new}, key=lambda name: (name != "kind", name)):
        before, after = original.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            check_compatible(before, after, cure, f"{prefix}{name}.")
        elif before != after and canonical_json(before) != canonical_json(after):
            # The stored form decides where `==` says no: a tuple comes back as a list, and nan is not equal to itself.
            raise IncompatibleParameters(f"{prefix}{name}", before, after, cure)
