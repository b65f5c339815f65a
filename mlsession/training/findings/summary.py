"""What is to be said of a session at one moment, as one value read from its store alone; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlsession.advising.advice import Verdict
from mlsession.advising.verdict import advise
from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData, InvalidParameter, UsageError
from mlsession.heads.chosen import Chosen
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.chosen_extractor import ExtractorChoice, extractor_chosen
from mlsession.phases.evaluated import PARTS, leaked_of, metrics_of
from mlsession.phases.finetuned import FineTuned
from mlsession.phases.trained import chosen_of
from mlsession.scanning.finding import Finding, in_order
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.cost import SavingCost
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.phase import Json, Phase, PhaseState
from mlsession.session.session import TrainingSession, history_of
from mlsession.session.standing import valid_commits
from mlsession.session.watching.status import Status
from mlsession.training.choosing import choosing_inputs
from mlsession.training.findings.evidence import gather_evidence
from mlsession.training.images.brief import brief_findings, copied_findings, leaked_finding
from mlsession.training.images.counts import ImageCounts as ImageCounts
from mlsession.training.images.counts import SkippedImage as SkippedImage
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TEST_INDEX, TRAINING_INDEX, VALIDATION_INDEX, images_digest
from mlsession.training.outcome import digest_of
from mlsession.training.task import TASK, index_digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionSummary:
    """A session at one moment; `mlsession status` prints it."""

    url: str
    status: Status
    reason: str
    """Why it stopped, as far as it said so; "" otherwise."""
    phase: str
    iteration: int
    """Of the newest checkpoint, within its phase."""
    limit: int | None
    """The most training iterations, as the newest attempt was asked for."""
    date: datetime
    """When the newest record was written, UTC."""
    heartbeat_age: float | None
    """Seconds since the last sign of life, by the wall clocks of two machines; None unless it is running."""
    data: str
    """Where the training images are."""
    classes: tuple[str, ...]
    counts: ImageCounts
    skipped: tuple[SkippedImage, ...]
    findings: tuple[Finding, ...] = ()
    """What stands out in the labels and numbers of the images, and which are copies; see `training.images.brief`."""
    metrics: Mapping[str, ClassifierMetrics]
    """By part (`PARTS`); parts without images, or not evaluated yet, are absent."""
    advice: Verdict | None = None
    """What limits the model, and what to do next; None before it was evaluated. See docs/advice.md."""
    extractor_choice: ExtractorChoice | None = None
    """Which extractor was chosen, and why; None before that, and where one is given."""
    selection: Chosen | None = None
    """What was chosen before training, and on what; None before that, and where nothing is to be chosen."""
    finetuning: FineTuned | None = None
    """How fine-tuning has ended; None before that, and without any."""
    model_digest: str | None
    """`tensor_digest` of all that was trained, see `ImageModel.digest`; None before that has ended."""
    history: Mapping[str, list[float]]
    """See `TrainingSession.history`."""
    saving_cost: SavingCost | None
    """What saving cost in the newest attempt, as the engine measured it; None where it has not said so."""
    num_checkpoints: int
    checkpoints: tuple[Checkpoint, ...]
    """All of them, oldest first; where they were not asked for, the newest one."""
    damaged: tuple[str, ...] = field(default=())
    """What could not be read because its stored bytes are not those that were written."""

    @classmethod
    def of(cls, session: TrainingSession, *, all_checkpoints: bool = True) -> SessionSummary:
        """Reads a session of image classification; disturbs no writer.

        `all_checkpoints`: whether to read the whole list, which takes a while where it is a hundred thousand.
        Raises `UsageError` for a session of another task, `StoreError`, and `DamagedData` where even the index of
        its images cannot be read.
        """
        if session.identity.task != TASK:
            raise UsageError(f"{session.url} holds a session of task {session.identity.task!r}, not of {TASK!r}")
        look = _Look(session)
        status, settings, skipped = session.status, session.settings, look.skipped()
        limit = settings.get("iterations")
        closed = session.timeline.closed
        return cls(
            url=session.url,
            status=status,
            reason=str(closed.body.get("reason", "")) if closed else "",
            phase=session.phase,
            iteration=session.iteration,
            limit=limit if isinstance(limit, int) else None,
            date=session.date,
            heartbeat_age=session.heartbeat_age if status is Status.RUNNING else None,
            data=_url_of(settings.get("training_source")),
            classes=look.training.classes,
            counts=look.counts(len(skipped)),
            skipped=skipped,
            findings=look.findings(),
            metrics=look.metrics(),
            advice=look.advice(skipped),
            extractor_choice=look.extractor_choice(),
            selection=look.selection(),
            finetuning=look.finetuning(),
            model_digest=look.model_digest(),
            history=history_of(look.states[Phase.TRAINING]) if Phase.TRAINING in look.states else {},
            saving_cost=session.saving_cost,
            num_checkpoints=session.num_checkpoints,
            checkpoints=session.checkpoints if all_checkpoints else tuple(filter(None, [session.newest_checkpoint])),
            damaged=tuple(look.damaged),
        )

    def to_json(self) -> dict[str, object]:
        """A JSON object with the same members; parts without metrics are null."""
        return {
            "url": self.url,
            "status": self.status.value,
            "reason": self.reason,
            "phase": str(self.phase),
            "iteration": self.iteration,
            "limit": self.limit,
            "date": self.date.isoformat(),
            "heartbeat_age": self.heartbeat_age,
            "data": self.data,
            "classes": list(self.classes),
            "counts": self.counts.to_json(),
            "metrics": {part: self.metrics[part].to_json() if part in self.metrics else None for part in PARTS},
            "advice": None if self.advice is None else self.advice.to_json(),
            "extractor_choice": None if self.extractor_choice is None else self.extractor_choice.to_json(),
            "selection": None if self.selection is None else self.selection.to_json(),
            "finetuning": None if self.finetuning is None else self.finetuning.to_json(),
            "model_digest": self.model_digest,
            "skipped": [image.to_json() for image in self.skipped],
            "findings": [finding.summary() for finding in self.findings],
            "history": dict(self.history),
            "checkpoint_overhead": None if self.saving_cost is None else self.saving_cost.overhead,
            "saving_seconds": None if self.saving_cost is None else self.saving_cost.to_json(),
            "checkpoints": [checkpoint.to_json() for checkpoint in self.checkpoints],
            "damaged": list(self.damaged),
        }


class _Look:
    """What a session's newest commits hold, each read once."""

    def __init__(self, session: TrainingSession) -> None:
        self._session = session
        self.damaged: list[str] = []
        self.training = self._read_index(TRAINING_INDEX)
        self.validation = self._index(VALIDATION_INDEX)
        self.test = self._index(TEST_INDEX)
        inputs = {
            Phase.CHOOSING.value: choosing_inputs(session.timeline, session.attachments),
            Phase.EXTRACTING.value: images_digest(session.attachments),
            Phase.EVALUATING.value: index_digest(self.test),
        }
        self.valid = valid_commits(
            session.identity.phases, session.timeline.newest, lambda phase: inputs.get(phase, "")
        )
        self.states = {phase: state for phase in self.valid if (state := self._state(phase)) is not None}

    def counts(self, num_skipped: int) -> ImageCounts:
        listed = 0 if self.test is None else len(self.test)
        train, validation = self._split()
        evaluated = self.metrics()
        if evaluated and self.test is not None:
            listed = evaluated["test"].count if "test" in evaluated else 0
        return ImageCounts(train=train, validation=validation, test=listed, skipped=num_skipped)

    def skipped(self) -> tuple[SkippedImage, ...]:
        first = len(self.training)
        found: list[SkippedImage] = []
        for row, reason in _skips(self.states.get(Phase.EXTRACTING)):
            if row < first:
                found.append(SkippedImage(path=self.training.keys[row], source="training", reason=reason))
            elif self.validation is not None:
                found.append(SkippedImage(path=self.validation.keys[row - first], source="validation", reason=reason))
        for row, reason in _skips(self.states.get(Phase.EVALUATING)):
            if self.test is not None:
                found.append(SkippedImage(path=self.test.keys[row], source="test", reason=reason))
        return tuple(found)

    def metrics(self) -> dict[str, ClassifierMetrics]:
        state = self._ended(Phase.EVALUATING)
        return metrics_of(state, self.training.classes) if state else {}

    def findings(self) -> tuple[Finding, ...]:
        found = list(brief_findings(self.training, self.test))
        extracted, evaluated = self._ended(Phase.EXTRACTING), self._ended(Phase.EVALUATING)
        if extracted is not None and "copies" in extracted.arrays:
            found += copied_findings(extracted.arrays["copies"], self.training, self.validation)
        leaked = leaked_of(evaluated).get("test") if evaluated else None
        if leaked is not None and leaked.images:
            found.append(leaked_finding(leaked.images))
        return in_order(found)

    def advice(self, skipped: tuple[SkippedImage, ...]) -> Verdict | None:
        if Phase.TRAINING not in self.states or not (metrics := self.metrics()):
            return None
        findings = brief_findings(self.training, self.test)
        num_skipped = sum(image.source == "training" for image in skipped)
        try:
            evidence = gather_evidence(self._session, self.states, metrics, self.training, findings, num_skipped)
        except InvalidParameter:
            return None  # An extractor or a head that this version does not have: all else can be said of the session.
        return advise(evidence)

    def extractor_choice(self) -> ExtractorChoice | None:
        state = self._ended(Phase.CHOOSING)
        return extractor_chosen(state) if state else None

    def selection(self) -> Chosen | None:
        state = self._ended(Phase.SELECTING)
        return chosen_of(state) if state else None

    def finetuning(self) -> FineTuned | None:
        state = self._ended(Phase.FINETUNING)
        return None if state is None else FineTuned.of(state)

    def model_digest(self) -> str | None:
        tunes = Phase.FINETUNING in self._session.identity.phases
        state, tuned = self._ended(Phase.TRAINING), self._ended(Phase.FINETUNING) if tunes else PhaseState()
        return None if state is None or tuned is None else digest_of(state, tuned)

    def _split(self) -> tuple[int, int | None]:
        """Images to train on and to validate on."""
        state = self._ended(Phase.EXTRACTING)
        if state is not None:
            readable, held_out = (state.arrays[name].astype(bool) for name in ("readable", "validation"))
            return int((readable & ~held_out).sum()), int((readable & held_out).sum())
        if self.validation is not None:
            return len(self.training), len(self.validation)
        chosen = self._session.identity.parameters.get("validation")
        without = isinstance(chosen, dict) and chosen.get("kind") == "none"
        return len(self.training), 0 if without else None

    def _ended(self, phase: str) -> PhaseState | None:
        """The state of a phase that has ended."""
        entry: CheckpointEntry | None = self.valid.get(phase)
        return self.states.get(phase) if entry is not None and entry.ended else None

    def _state(self, phase: str) -> PhaseState | None:
        try:
            return self._session.past.state(phase)
        except DamagedData as damage:
            self.damaged.append(str(damage))
            return None

    def _index(self, name: str) -> ImageIndex | None:
        try:
            return self._read_index(name)
        except KeyError:
            return None

    def _read_index(self, name: str) -> ImageIndex:
        recorded = read_index(self._session, name)
        if recorded.damaged:
            cure = f"listing the data gives it again; `mlsession checkpoints repair {self._session.url}` puts it back"
            self.damaged.append(f"{recorded.damaged} is damaged; {cure}")
        return recorded.index


def _skips(state: PhaseState | None) -> list[tuple[int, str]]:
    """(row, reason) of the images that a phase has left out."""
    listed = state.data.get("skipped") if state is not None else None
    pairs = [pair for pair in listed if isinstance(pair, list)] if isinstance(listed, list) else []
    return [(row, str(reason)) for row, reason in pairs if isinstance(row, int)]


def _url_of(source: Json) -> str:
    return str(source.get("url", "")) if isinstance(source, dict) else ""
