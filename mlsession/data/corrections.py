"""Corrections of labels: a table that a person edits, and what it makes of an index. The images stay as they are.

    path,label,action,suggested,confidence,reason,other,other_source,given
    cat/1.jpg,cat,keep,dog,0.98,label-error,,,cat          nothing: `action` is keep, and `label` as it was given
    cat/2.jpg,dog,keep,,0.91,conflict,dog/7.jpg,training,cat      becomes dog: `label` was edited
    cat/3.jpg,cat,relabel,dog,0.97,label-error,,,cat       becomes dog: `action` was edited, and takes `suggested`
    cat/4.jpg,cat,remove,,1,duplicate,cat/1.jpg,training,cat      is left out

CSV as in `data.manifest`. `path` is relative to the root of the images. Of the columns only `path` and one of `label`
and `action` must be there: a table of `path,label` says the labels of the images that it names. Without `given` a
label counts as edited when the images say another one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlsession.data.index import ImageIndex
from mlsession.data.names import FORMULA_SIGNS
from mlsession.data.tables import read_table
from mlsession.data.texts import Texts
from mlsession.errors import DamagedData, UnusableData
from mlsession.store import redact
from mlsession.store.reading import ReadPolicy

COLUMNS = ("path", "label", "action", "suggested", "confidence", "reason", "other", "other_source", "given")
KEEP, RELABEL, REMOVE = "keep", "relabel", "remove"
APOSTROPHE = "'"
"""Before a label that would be taken for a formula (`FORMULA_SIGNS`), or that begins with one itself; taken off again.

Paths have "./" there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is to become of one image."""

    path: str
    label: str | None
    """None: it is left out."""
    line: int
    """Where the table says so, from 1."""
    given: str | None = None
    """Its label when the table was made; None in a table that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What a table asks for; lines that ask for nothing are not in it."""

    source: str
    """The table, for messages."""
    rows: tuple[Correction, ...]
    """By path, ascending; no path twice."""
    known: bool = False
    """Whether they have been applied before: then an image that is not there was there once."""

    def apply(self, index: ImageIndex, min_classes: int = 1) -> ImageIndex:
        """The index with other labels, and without what is left out; classes without images are gone, too.

        A correction of an image that is labelled otherwise by now than it was when the table was made, or that is not
        there any more, does nothing; see `left`. Raises `UnusableData` with the line for a path that is not among the
        images, in a table that does not say what they were, and for a label that no image has.
        """
        labels, kept = index.labels.copy(), np.ones(len(index), dtype=np.bool_)
        places = {name: place for place, name in enumerate(index.classes)}
        for row, each in zip(index.rows_of([each.path for each in self.rows]).tolist(), self.rows, strict=True):
            if row < 0:
                self._check_gone(each)
            elif each.given not in (None, index.classes[labels[row]]):
                continue
            elif each.label is None:
                kept[row] = False
            elif each.label in places:
                labels[row] = places[each.label]
            else:
                known = ", ".join(index.classes[:20]) + (", ..." if len(index.classes) > 20 else "")
                raise self._wrong(each.line, f"says {each.label!r}, a label that no image has; correct it: {known}")
        used = np.bincount(labels[kept], minlength=len(index.classes)) > 0
        classes = tuple(name for name, some in zip(index.classes, used.tolist(), strict=True) if some)
        if len(classes) < min_classes:
            left = "1 class" if len(classes) == 1 else f"{len(classes)} classes"
            raise UnusableData(self.source, f"it leaves {left}, and {min_classes} are needed; leave out less")
        rows = np.flatnonzero(kept)
        return ImageIndex(
            keys=Texts.of(index.keys).take(rows),
            labels=(np.cumsum(used) - 1)[labels[rows]].astype(np.int32),
            sizes=index.sizes[rows],
            versions=Texts.of(index.versions).take(rows),
            classes=classes,
            ignored=index.ignored,
        )

    def left(self, corrected: ImageIndex) -> dict[str, str]:
        """What did nothing, by path, with the reason; `corrected` is what `apply` made."""
        reasons: dict[str, str] = {}
        for row, each in zip(corrected.rows_of([each.path for each in self.rows]).tolist(), self.rows, strict=True):
            if row < 0 and each.label is not None:
                reasons[each.path] = "it is not there any more"
            elif row >= 0 and (now := corrected.classes[corrected.labels[row]]) != each.label:
                reasons[each.path] = f"it is labelled {now!r} now, not {each.given!r} as in the table"
        return reasons

    def to_bytes(self) -> bytes:
        """The stored form: JSON in ASCII, {"source", "corrections": [{"path", "label", "line", "given"}]}."""
        rows = [{"path": row.path, "label": row.label, "line": row.line, "given": row.given} for row in self.rows]
        return json.dumps({"source": self.source, "corrections": rows}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Corrections:
        """Read `to_bytes` back; they are `known` then. Raises `DamagedData`."""
        try:
            stored = json.loads(data)
            rows = tuple(Correction(**row) for row in stored["corrections"])
            texts = [stored["source"], *(row.path for row in rows)]
            maybe = [text for row in rows for text in (row.label, row.given) if text is not None]
            if not all(isinstance(text, str) for text in (*texts, *maybe)) or len({row.path for row in rows}) < len(
                rows
            ):
                raise ValueError("something else than texts of different images stands there")
            return cls(source=stored["source"], rows=rows, known=True)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise DamagedData("corrections", " ".join(str(error).split())[:300]) from error

    def _check_gone(self, each: Correction) -> None:
        if not self.known and each.given is None:
            raise self._wrong(
                each.line, f"names {each.path!r}, which is not among the images; correct the path, relative to theirs"
            )

    def _wrong(self, line: int, reason: str) -> UnusableData:
        return UnusableData(self.source, f"line {line} {reason}")


def read_corrections(
    url: str, storage_options: Mapping[str, object] | None = None, policy: ReadPolicy | None = None
) -> Corrections:
    """The corrections in a CSV file in any store; see `parse_corrections`, `read_table`.

    Raises `UnusableData`, `StoreError`.
    """
    return parse_corrections(read_table(url, storage_options, policy), redact(url))


def parse_corrections(data: bytes, source: str) -> Corrections:
    """What the bytes of a table ask for; pure. `source` is for messages.

    Raises `UnusableData` with the line where it is not of the form above, and where two lines ask for different things
    of one image.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnusableData(source, f"line {line} is not UTF-8; save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[str, Correction] = {}
    try:
        names = _header(next(reader, []), source)
        for fields in reader:
            if not any(fields):  # Spreadsheets end so.
                continue
            if len(fields) != len(names):
                reason = f"has {len(fields)} fields, and the header has {len(names)}; quote fields that hold a comma"
                raise UnusableData(source, f"line {reader.line_num} {reason}")
            each = _asked(dict(zip(names, fields, strict=True)), reader.line_num, source)
            if each is None:
                continue
            other = found.setdefault(each.path, each)
            if other.label != each.label:
                raise UnusableData(
                    source, f"line {each.line} asks for another thing of {each.path!r} than line {other.line}; edit one"
                )
    except csv.Error as error:
        raise UnusableData(source, f"line {reader.line_num} is not CSV: {error}; see to its quotes") from error
    return Corrections(source=source, rows=tuple(found[path] for path in sorted(found)))


def correction_table(rows: Iterable[Sequence[str]]) -> bytes:
    """The table of some rows, each the fields of `COLUMNS`."""
    lines = [",".join(COLUMNS)]
    guards = {**dict.fromkeys(("path", "other"), "./"), **dict.fromkeys(("label", "suggested", "given"), APOSTROPHE)}
    for row in rows:
        fields = list(row)
        for name, guard in guards.items():
            place = COLUMNS.index(name)
            fields[place] = f"{guard if _is_guarded(fields[place], guard) else ''}{fields[place]}"
        lines.append(",".join(map(_quoted, fields)))
    return "".join(f"{line}\n" for line in lines).encode()


def _is_guarded(field: str, guard: str) -> bool:
    return field.startswith(FORMULA_SIGNS if guard != APOSTROPHE else (*FORMULA_SIGNS, APOSTROPHE))


def _label(field: str) -> str:
    """A label as it was before it was guarded; any other as it is."""
    bare = field.removeprefix(APOSTROPHE)
    return bare if bare != field and _is_guarded(bare, APOSTROPHE) else field


def _quoted(field: str) -> str:
    doubled = field.replace('"', '""')
    return f'"{doubled}"' if any(mark in field for mark in ',"\r\n') else field  # Of csv's writer "\r" stands bare.


def _header(header: Sequence[str], source: str) -> list[str]:
    names = [name.strip().lower() for name in header]
    twice = next((name for name in COLUMNS if names.count(name) > 1), None)
    if "path" not in names or not {"label", "action"} & set(names) or twice is not None:
        found = f"it is {','.join(header)!r}" if header else "it is empty"
        cure = "separate the columns by commas" if len(names) == 1 and ";" in names[0] else "write path,label"
        raise UnusableData(
            source, f"line 1 must be a header with one column 'path', and 'label' or 'action', and {found}; {cure}"
        )
    return names


def _asked(fields: Mapping[str, str], line: int, source: str) -> Correction | None:
    """What a line asks for; None for nothing."""

    def wrong(reason: str) -> UnusableData:
        return UnusableData(source, f"line {line} {reason}")

    path, action = fields["path"].removeprefix("./"), fields.get("action", "").strip().lower() or KEEP
    label, suggested = _label(fields.get("label", "")), _label(fields.get("suggested", ""))
    given = _label(fields.get("given", "")) or None
    if not path.strip():
        raise wrong("has no path; fill it in, or remove the line")
    if action == REMOVE:
        return Correction(path=path, label=None, line=line, given=given)
    if action not in (KEEP, RELABEL):
        raise wrong(f"has the action {fields['action']!r}; write {KEEP}, {RELABEL} or {REMOVE}")
    edited = bool(label.strip()) and label != given
    if action == RELABEL and not (edited and given is not None):
        # Its own label is no order: the one that was suggested is meant.
        label, edited = (suggested, True) if suggested.strip() else (label, edited and label != suggested)
        if not edited:
            raise wrong("is to be relabelled, and no label is suggested; write the right one in the column 'label'")
    if not edited:
        return None
    return Correction(path=path, label=label, line=line, given=given)
