"""The pixels of each turn of fine-tuning, as one device needs them: read ahead in the epoch's steps, or its checks."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from mlsession.devices.world import World
from mlsession.finetuning.course import Course, Turn, share_of
from mlsession.finetuning.targets import mixing
from mlsession.phases.tuning.images import PictureStream, Pixels, TuningImages
from mlsession.phases.tuning.parts import StepImages


class TurnPictures:
    """Turns are taken in order, from any on; close it, to end the threads."""

    def __init__(
        self, course: Course, images: TuningImages, stream: PictureStream, mixup: float, seed: int, world: World
    ) -> None:
        self._course = course
        self._images = images
        self._stream = stream
        self._mixup = mixup
        self._seed = seed
        self._world = world
        self._ahead: Iterator[Pixels] | None = None

    def of_step(self, turn: Turn) -> StepImages:
        """Which images a step has, and which of them are this device's."""
        places = self._course.trained(self._seed, turn)
        mixed = mixing(self._mixup, self._seed, turn.epoch, turn.place, len(places))
        return StepImages(places=places, mixing=mixed, mine=self._share(len(places)))

    def taken(self, turn: Turn) -> Pixels:
        """The pixels of the next turn, uint8 [n, side, side, 3]: of a step's `needed` images, or of a share of a check.

        Raises what reading raises.
        """
        if self._ahead is None or turn.place == 0:
            self.close()
            self._ahead = self._from(turn)
        return next(self._ahead)

    def close(self) -> None:
        """Again: nothing."""
        if isinstance(self._ahead, Generator):
            self._ahead.close()
        self._ahead = None

    def _from(self, turn: Turn) -> Iterator[Pixels]:
        count = self._course.steps if turn.is_step else self._course.checks
        turns = [
            Turn(epoch=turn.epoch, place=place, is_step=turn.is_step, ends_epoch=False)
            for place in range(turn.place, count)
        ]
        if turn.is_step:
            needed = [self._images.training[self.of_step(each).needed] for each in turns]
            return self._stream.training(turn.epoch, needed)
        checked = [self._images.validation[self._course.checked(each)] for each in turns]
        return self._stream.validation([rows[self._share(len(rows))] for rows in checked])

    def _share(self, count: int) -> slice:
        return share_of(count, self._world.rank, self._world.size)
