"""A Lightning training whose checkpoints are a session: fenced, hashed, on any store, resumed exactly.

    checkpoints = SessionCheckpoints("s3://bucket/runs/first", parameters={"learning_rate": 1e-3})
    trainer = Trainer(max_epochs=10, callbacks=[checkpoints], plugins=[checkpoints.io])
    trainer.fit(module, KeyedLoader(dataset, 32), ckpt_path=checkpoints.newest())

Kill it anywhere and run the same lines again: it goes on after the newest committed optimiser step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from mlsession.errors import Cancelled, Interrupted, UsageError
from mlsession.integrations.lightning.checkpoint_io import (
    TURNS,
    SessionCheckpointIO,
    check_plain,
    with_turns,
)
from mlsession.integrations.lightning.handover import Answer, HandedOver, Handover, Turn
from mlsession.integrations.lightning.loader import seed_generators
from mlsession.job.job import Job
from mlsession.job.run import SessionPlace, run_task
from mlsession.job.signals import stop_on_signals
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Json, PhaseState

ENDED, LIMITS = "ended", "limits"


class SessionCheckpoints(Checkpoint):
    """The callback. Lightning runs it last, so that what other callbacks remember is saved as well.

    A step is one optimiser step; when to save is the session's `checkpoint_interval`. An epoch's last step is offered
    once its validation is over, and the end of the training once all is done. The training stops, by an exception that
    leaves `Trainer.fit`, when the session is cancelled (`job.cancel`, `mlsession stop`, with `signals` a SIGTERM), is
    taken over, or cannot be saved; other exceptions of the training close the session as failed. In each case the same
    lines go on from the newest checkpoint.
    """

    def __init__(
        self,
        session: str | SessionParameters,
        *,
        parameters: Mapping[str, object] | None = None,
        seed: int | None = 0,
        signals: bool = False,
    ) -> None:
        """`session` is a URL, or how the session is to be kept.

        `parameters` are plain values that matter to the result: a session that was made with others is refused with
        `IncompatibleParameters`. With a `seed` the global generators of torch, numpy and Python are seeded before each
        batch by (seed, batch, rank), so that dropout draws the same after a restart; with None they are left alone,
        and only a training that draws nothing resumes exactly. `signals`: the first SIGTERM, SIGINT, SIGUSR1 or SIGHUP
        saves and stops; for the main thread only.
        """
        self._session = session if isinstance(session, SessionParameters) else SessionParameters(session)
        if self._session.url is None:
            raise UsageError("SessionCheckpoints needs the URL of a session: without one nothing could be resumed")
        self._place = SessionPlace.of(self._session)
        self._parameters = check_plain("parameters", parameters or {})
        self._seed = seed
        self._signals = signals
        self._around = ExitStack()
        self._handover: Handover | None = None
        self._job: Job[PhaseState] | None = None
        self._turns = 0
        self._steps = 0
        self._is_over = False
        self.io = SessionCheckpointIO(self._place, self._session)
        """To be given to the `Trainer` among its `plugins`."""

    @property
    def job(self) -> Job[PhaseState] | None:
        """The job that keeps the session, while a training runs and after; None before, and on ranks but the first."""
        return self._job

    def newest(self) -> str | None:
        """The checkpoint to go on from, for `Trainer.fit(ckpt_path=...)`; None in a new session."""
        return self.io.newest()

    # What Lightning calls

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if trainer.strategy.checkpoint_io is not self.io:
            raise UsageError("give Trainer(plugins=[checkpoints.io]) too: it is what writes the session's checkpoints")
        self._is_over, self._turns, self._steps = False, 0, 0
        if trainer.is_global_zero:
            self._handover = Handover()
            limits = _limits(trainer)
            task = HandedOver(handover=self._handover, is_ended=lambda state: _has_ended(state, limits))
            self._job = run_task(task, self._session, self._parameters)
            self._job.add_done_callback(lambda job: _closed(self._handover))
            if self._signals:
                self._around.enter_context(stop_on_signals(self._job))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All is restored by now: it must be what the session goes on from."""
        begun: int | None = None
        if self._handover is not None and self._job is not None:
            found = self._handover.begun.result()
            self._is_over = found is None
            # Finished already; or the error that kept it from beginning.
            state = self._job.result() if found is None else found[0]
            with as_written("state of training"):
                begun = 0 if state is None else as_count(state.data[TURNS])
        begun, self._is_over = trainer.strategy.broadcast((begun, self._is_over))
        if begun != (self.io.loaded or 0):
            raise UsageError(
                f"{self._place.url} goes on after {begun} steps, and the training begins after {self.io.loaded or 0}: "
                "give Trainer.fit(ckpt_path=checkpoints.newest())"
            )
        self._turns, self._steps = begun, trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        self._seed_for(trainer, "batch", trainer.fit_loop.total_batch_idx)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._seed_for(trainer, "validation", trainer.global_step, dataloader_idx, batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        # While gradients are being accumulated there is no state that a checkpoint of Lightning could hold.
        if trainer.global_step != self._steps and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._offer(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._offer(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_over:
            self._offer(trainer, last=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._is_over:  # The trainer found nothing left to do.
            self._offer(trainer, last=True)
        if self._job is not None:
            self._job.result()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._handover is not None and not self._is_over:
            stopped = isinstance(exception, KeyboardInterrupt)
            self._handover.give_up(Interrupted("interrupted from the keyboard") if stopped else exception)
            self._is_over = True
            if self._job is not None:
                self._job.exception()  # Until the session has recorded how it ended.

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._around.close()

    # The steps

    def _offer(self, trainer: Trainer, last: bool = False) -> None:
        """Hands a step over, and saves it where the session asks for that; on all ranks alike."""
        self._turns, self._steps = self._turns + 1, trainer.global_step
        turn = Turn(number=self._turns, total=None, metrics=_metrics(trainer), last=last)
        answers = None if self._handover is None else self._handover.offer(turn)
        answer = Answer.SNAPSHOT
        while answer is Answer.SNAPSHOT:
            answer = Answer(trainer.strategy.broadcast(None if answers is None else next(answers).value))
            if answer is Answer.SNAPSHOT:
                self._save(trainer, last)
        if answer is Answer.CLOSED:
            self._is_over = True
            self._end(last)

    def _save(self, trainer: Trainer, last: bool) -> None:
        """Answers the session's thread in any case: it waits for nothing else."""
        try:
            trainer.save_checkpoint(self.io.next_url, weights_only=False)
            taken, self.io.taken = self.io.taken, None
            if self._handover is None:
                return
            if taken is None:
                strategy = type(trainer.strategy).__name__
                raise UsageError(
                    f"{strategy} writes checkpoints by itself, and none reaches the session; choose a strategy that "
                    "hands them to its checkpoint_io, such as ddp"
                )
            facts: dict[str, Json] = {TURNS: self._turns, ENDED: last, LIMITS: _limits(trainer)}
            state = with_turns(taken, facts)
        except BaseException as error:
            if self._handover is not None:
                self._handover.save(error)
            raise
        self._handover.save(state)

    def _end(self, last: bool) -> None:
        """The session takes no more steps: as it should after the last, else with the reason as an exception."""
        if self._job is not None:
            self._job.result()
        if not last:
            raise Cancelled("the first process has stopped")

    def _seed_for(self, trainer: Trainer, *what: str | int) -> None:
        if self._seed is not None:
            seed_generators(self._seed, *what, trainer.global_rank)


def _closed(handover: Handover | None) -> None:
    if handover is not None:
        handover.close()


def _limits(trainer: Trainer) -> dict[str, Json]:
    """How long the training is to be: with others an ended one goes on."""
    return {"max_epochs": trainer.max_epochs, "max_steps": trainer.max_steps}


def _has_ended(state: PhaseState, limits: Mapping[str, Json]) -> bool:
    return state.data[ENDED] is True and state.data[LIMITS] == limits


def _metrics(trainer: Trainer) -> dict[str, float]:
    """What the module has logged, as far as it is one finite number each, and how far the training is."""
    logged = {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if isinstance(value, torch.Tensor) and value.numel() == 1
    }
    finite = {name: value for name, value in logged.items() if math.isfinite(value)}
    return {**finite, "epoch": float(trainer.current_epoch), "global_step": float(trainer.global_step)}
