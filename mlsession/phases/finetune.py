"""Finetuning: the network is trained on with its head, image by image; kept if validation says that it is better.

    for each epoch:
        for each step of its images, in the order of (seed, epoch):     read and decoded ahead, in threads
            change each as (seed, epoch, image) says, blend them as (seed, epoch, step) says
            gradient of the mean loss, in parts; summed over the devices; one step of AdamW
        for some of the validation images at a time: their logits, with the average of the weights if one is kept
    fit a temperature on the validation images; compare with the head alone

A turn is one optimiser step, or one look at some validation images. Nothing is drawn from a generator that has a state,
so a state of a turn is the weights, their moments and how many turns are done: a run that is killed anywhere goes on
with the same bits on a CPU. Another number of processors changes the speed alone; of devices, also the last bits: they
work on slices of the same steps. Without memory for a part, on any of the devices, the parts are made half as large,
and the step is done again; that is saved at once, so that whoever goes on need not find it out again.

Where several processes share what is tuned (strategy "fsdp"), rank 0 says before each turn whether it is done, or
whether each is to copy its part for a checkpoint first; see `phases.tuning.keeping`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from mlsession.augment.epochs import EpochPlan
from mlsession.devices.crew import Crew
from mlsession.devices.world import Solo
from mlsession.errors import InternalError, UnusableData, WorkerLost
from mlsession.extractors.running.allocator import keep_freed_memory
from mlsession.finetuning.course import Course, Turn, batch_size_for
from mlsession.finetuning.scaling import FIRST, LossScale
from mlsession.finetuning.schedule import learning_rate_factor
from mlsession.finetuning.tuner import tuning_numerics
from mlsession.heads.class_weight import class_weights
from mlsession.heads.protocol import Head
from mlsession.phases.features import FeatureTable
from mlsession.phases.tuning.images import PictureStream, Pixels, TuningImages
from mlsession.phases.tuning.keeping import ShardKeeper
from mlsession.phases.tuning.model import TuningModel
from mlsession.phases.tuning.parts import parts_of
from mlsession.phases.tuning.state import Progress, progress_of
from mlsession.phases.tuning.sums import StepSums
from mlsession.phases.tuning.together import LeftTogether, done_in_step, done_together
from mlsession.phases.tuning.turns import TurnPictures
from mlsession.phases.tuning.verdict import Verdict, finished_state, judge, judged_head, keeps, pass_metrics
from mlsession.phases.tuning.work import TuningWork
from mlsession.processor import usable_processors
from mlsession.session.phase import PhaseState, Step

_NO_VALIDATION = (
    "fine-tuning is kept only if validation images say that it is better, and there are none; in a new session hold "
    "some out (Validation.split(0.2), --validation 0.2), give others where groups (--group-by) let none be held out "
    "(Validation.data, --validation DIR), or choose keep='always'"
)
_TURN, _SAVE, _LEAVE = "turn", "save", "leave"
"""What rank 0 says before a turn."""


class FineTuning:
    """The runner of the finetuning phase; the same on every rank of a world."""

    def __init__(self, work: TuningWork, crew: Crew | None = None, neighbours: int = 1) -> None:
        """`neighbours`: processes of the world that share this machine's processors."""
        self._work = work
        self._crew = crew
        self._neighbours = neighbours

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        """Raises `UnusableData` without validation images that it needs, `UsageError` without memory for one image."""
        if self._work.runtime.gpu is None:
            keep_freed_memory()
        with tuning_numerics(self._work.runtime), suppress(LeftTogether):
            run = _Run(self._work, self._crew, self._neighbours, state)
            last = False
            try:
                # A phase that has ended is not run again, so there is a turn left.
                while not last and self._goes_on(run):
                    step = run.advance()
                    last = step.last
                    yield step
            except GeneratorExit:
                if not last and self._crew is not None and self._crew.rank == 0:
                    with suppress(WorkerLost):  # What closes the generator says why it does.
                        self._crew.agree(_LEAVE)
                raise
            finally:
                run.close()

    def _goes_on(self, run: _Run) -> bool:
        if self._crew is None:
            return True
        while (said := self._crew.agree(_TURN)) == _SAVE:
            run.keep()
        if said not in (_TURN, _LEAVE):
            raise InternalError("finetuning: rank 0 has left the phase without a word")
        return said == _TURN


class _Run:
    """One attempt at the phase."""

    def __init__(self, work: TuningWork, crew: Crew | None, neighbours: int, state: PhaseState | None) -> None:
        self._work, self._crew, self._options = work, crew, work.options
        self._world = Solo() if crew is None else crew
        # Rank 0 alone was told how the network is shared.
        is_shared = crew is not None and crew.agree(work.is_shared) is True
        table, head = _loaded(work, crew)
        self._images = TuningImages.of(table)
        if not len(self._images.validation) and self._options.keep != "always":
            raise UnusableData("validation", _NO_VALIDATION)
        labels = work.corpus.labels
        self._labels = labels[self._images.training]
        self._truth = labels[self._images.validation]
        self._num_classes = head.num_classes
        counts = np.bincount(self._labels, minlength=head.num_classes)
        weights = class_weights(counts, work.corpus.classes, self._options.head.class_weight)
        self._weights = weights * (counts.sum() / float(counts @ weights))
        size = self._options.batch_size
        self._course = Course(
            epochs=self._options.epochs,
            training=len(self._labels),
            validation=len(self._truth),
            batch_size=batch_size_for(len(self._labels)) if size == "auto" else size,
        )
        self._model = TuningModel(
            partial(work.build, self._options.feature_extractor),
            head,
            self._options,
            work.runtime,
            workers=max(usable_processors() // neighbours, 1),
            crew=crew if is_shared else None,
        )
        self._keeper = ShardKeeper(crew.apart(), work.open_store) if crew is not None and is_shared else None
        self._sums = StepSums(self._model, work, crew, self._course.batch_size, is_shared=is_shared)
        try:
            self._progress = self._restored(state, head, table)
        except BaseException:
            if self._keeper is not None:
                self._keeper.close()
            raise
        plan = EpochPlan(options=work.augmentation, seed=work.seed)
        side = self._options.feature_extractor.input_side
        stream = PictureStream(work.corpus, self._images, plan, side, work.rules, neighbours)
        self._pictures = TurnPictures(self._course, self._images, stream, self._options.mixup, work.seed, self._world)

    def close(self) -> None:
        """Ends the threads that read ahead, and those that write."""
        self._pictures.close()
        if self._keeper is not None:
            self._keeper.close()

    def advance(self) -> Step:
        """The next turn."""
        progress, course = self._progress, self._course
        turn, part = course.turn(progress.turns), progress.micro_batch
        if turn.is_step:
            self._train(turn)
        else:
            self._check(turn)
        progress.turns += 1
        if turn.ends_epoch:
            self._end_epoch()
        last = progress.turns == course.turns
        verdict = self._verdict() if last else None
        return Step(
            iteration=progress.turns,
            total=course.turns,
            item_count=course.images_before(progress.turns),
            total_items=course.images,
            metrics=self._metrics(verdict),
            snapshot=self._snapshot if verdict is None else partial(finished_state, progress, verdict),
            last=last,
            urgent=progress.micro_batch != part,
        )

    def _restored(self, state: PhaseState | None, head: Head, table: FeatureTable) -> Progress:
        is_scaled = self._work.runtime.precision == "16-mixed"
        options = self._options
        if state is not None:
            if self._crew is not None and state.shards:
                done_together(self._crew, partial(self._model.restore, state))
            else:
                self._model.restore(state)
            found = progress_of(state, is_scaled=is_scaled)
            if self._keeper is not None and not state.shards:
                # Where all had all of it a part may be as large as a GPU takes; see `CPU_PART`.
                found.micro_batch = min(found.micro_batch, self._sums.first_part(options.gradient_accumulation))
            return found
        scale = LossScale(factor=FIRST, is_fixed=False) if is_scaled else LossScale()
        before = judged_head(head, table, self._truth) if len(self._truth) else None
        return Progress(micro_batch=self._sums.first_part(options.gradient_accumulation), scale=scale, head_only=before)

    def _train(self, turn: Turn) -> None:
        progress, course, options = self._progress, self._course, self._options
        images = self._pictures.of_step(turn)
        parts = partial(parts_of, images, self._taken(turn), self._labels, self._weights, options.label_smoothing)
        loss, right = self._sums.of_step(parts, len(images.places), progress)
        gradient = self._model.point.gradient
        if progress.scale.factor != 1:
            gradient.div_(progress.scale.factor)
        number, steps = turn.epoch * course.steps + turn.place, course.epochs * course.steps
        rate = options.learning_rate * learning_rate_factor(number, steps, options.warmup, options.schedule)
        is_finite = self._model.update(progress.updates, rate)
        progress.scale = progress.scale.after(is_finite=is_finite)
        progress.updates += is_finite
        if turn.place == 0:
            progress.loss, progress.right, progress.seen = 0.0, 0, 0
        progress.loss += loss
        progress.right += right
        progress.seen += len(images.places)

    def _check(self, turn: Turn) -> None:
        progress, places = self._progress, self._course.checked(turn)
        if turn.place == 0:
            progress.logits = []
        pixels = self._taken(turn)
        with self._model.judged():
            progress.logits.append(self._sums.of_check(pixels, len(places), self._num_classes, progress))

    def _taken(self, turn: Turn) -> Pixels:
        """This device's pixels of a turn; where one rank cannot have its own, all of them end with what it met."""
        if self._crew is None:
            return self._pictures.taken(turn)
        return done_in_step(self._crew, partial(self._pictures.taken, turn))

    def _end_epoch(self) -> None:
        progress = self._progress
        found = {"loss": progress.loss / progress.seen, "accuracy": progress.right / progress.seen}
        if len(self._truth):
            found |= pass_metrics(np.concatenate(progress.logits), self._truth)
        for name, value in found.items():
            progress.epochs[name].append(value)

    def _verdict(self) -> Verdict:
        progress = self._progress
        logits = np.concatenate(progress.logits) if progress.logits else None
        comparison, temperature = judge(progress.head_only, logits, self._truth)
        kept = keeps(self._options.keep, comparison, None if self._keeper is None else self._crew)
        with self._model.judged():
            tensors, head = (self._model.tuned() if kept else None) or ({}, None)
        tempered = None if head is None else head.tempered(temperature)
        return Verdict(comparison=comparison, temperature=temperature, tensors=tensors, head=tempered)

    def _metrics(self, verdict: Verdict | None) -> dict[str, float]:
        progress = self._progress
        found = {"loss": progress.loss / progress.seen, "accuracy": progress.right / progress.seen}
        for name in ("validation_loss", "validation_accuracy"):
            if progress.epochs[name]:
                found[name] = progress.epochs[name][-1]
        return found if verdict is None else {**found, **verdict.metrics()}

    def keep(self) -> None:
        """Copies this rank's part of the present state, as rank 0 has asked for."""
        if self._keeper is None:
            raise InternalError("finetuning: rank 0 asks for a part of what nobody shares")
        self._keeper.keep(self._progress.turns, self._model.vectors())

    def _snapshot(self) -> PhaseState:
        if self._keeper is None:
            return self._progress.to_phase_state(self._model.vectors())
        self._world.agree(_SAVE)
        writer = self._keeper.writer(self._progress.turns, self._model.vectors())
        return replace(self._progress.to_phase_state({}), write_shards=writer)


def _loaded(work: TuningWork, crew: Crew | None) -> tuple[FeatureTable, Head]:
    """Features and head; where one rank cannot read them, all of them raise what it met."""

    def load() -> tuple[FeatureTable, Head]:
        return work.load_table(), work.head()

    return load() if crew is None else done_together(crew, load)
