"""Whether the tuned model is kept: it and the head alone on the validation images, and how the last state says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.devices.crew import Crew
from mlsession.errors import UsageError
from mlsession.finetuning.options import Keep
from mlsession.heads.layer import softmax
from mlsession.heads.protocol import Head
from mlsession.heads.temperature import fit_temperature
from mlsession.metrics.sums import MetricSums
from mlsession.phases.features import FeatureTable
from mlsession.phases.finetuned import COMPARISON, KEPT, NETWORK_PREFIX, TEMPERATURE, Comparison, Judged
from mlsession.phases.trained import HEAD_KIND, HEAD_PREFIX
from mlsession.phases.tuning.state import Progress
from mlsession.session.phase import Array, Json, PhaseState

_DIVERGED = (
    "finetuning: what the network says has become infinite; fine-tune in a new session with a smaller learning_rate"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """How fine-tuning ended."""

    comparison: Comparison | None
    """None without validation images."""
    temperature: float
    """What the logits of the tuned head are divided by."""
    tensors: Mapping[str, Array]
    head: Head | None
    """The tuned model, where it is kept; tempered."""

    @property
    def is_kept(self) -> bool:
        return self.head is not None

    def metrics(self) -> dict[str, float]:
        """For the last report."""
        found: dict[str, float] = {KEPT: float(self.is_kept)}
        if self.comparison is not None:
            for name, judged in (
                ("head_only", self.comparison.head_only),
                ("finetuned", self.comparison.finetuned),
            ):
                found |= {f"{name}_accuracy": judged.accuracy, f"{name}_loss": judged.log_loss}
        return found


def judged_head(head: Head, table: FeatureTable, truth: npt.NDArray[np.int64]) -> Judged:
    """The head alone, on the features of the validation images; `truth` has their labels."""
    blocks = [head.logits(block["features"].astype(np.float32)) for block in table.rows(table.validation)]
    return _judged(np.concatenate(blocks), truth)[0]


def judge(before: Judged | None, logits: Array | None, truth: npt.NDArray[np.int64]) -> tuple[Comparison | None, float]:
    """The comparison of the tuned model with what the head alone was judged, and the temperature of the tuned one.

    `logits` float32 [n, K] are the tuned model's of the validation images. Raises `UsageError` for infinite ones.
    """
    if before is None or logits is None:
        return None, 1.0
    after, temperature = _judged(logits, truth)
    return Comparison(images=len(truth), head_only=before, finetuned=after), temperature


def keeps(keep: Keep, comparison: Comparison | None, crew: Crew | None) -> bool:
    """Whether the tuned model is kept; on all ranks of those that share it as rank 0 sees it.

    Processors of other kinds may differ at a tie, and what is kept all of them gather.
    """
    found = keep == "always" or (comparison is not None and comparison.is_better)
    return found if crew is None else crew.agree(found) is True


def pass_metrics(logits: Array, truth: npt.NDArray[np.int64]) -> dict[str, float]:
    """Of an epoch, as the weights are by then: without a temperature. Raises `UsageError` for infinite logits."""
    sums = _sums(logits, truth)
    return {"validation_loss": sums.log_loss, "validation_accuracy": sums.accuracy}


def finished_state(progress: Progress, verdict: Verdict) -> PhaseState:
    """The last state: what is kept, and nothing that only a next turn would need."""
    arrays, data = progress.history(), progress.to_json()
    data[KEPT] = verdict.is_kept
    if verdict.comparison is not None:
        data[COMPARISON] = verdict.comparison.to_json()
    if verdict.head is not None:
        extra: dict[str, Json] = {TEMPERATURE: verdict.temperature, HEAD_KIND: verdict.head.kind}
        data |= extra
        arrays |= {f"{NETWORK_PREFIX}{name}": tensor for name, tensor in verdict.tensors.items()}
        arrays |= {f"{HEAD_PREFIX}{name}": tensor for name, tensor in verdict.head.tensors().items()}
    return PhaseState(arrays, data)


def _judged(logits: Array, truth: npt.NDArray[np.int64]) -> tuple[Judged, float]:
    _check(logits)
    temperature = fit_temperature(logits, truth)
    sums = _sums(logits / np.float32(temperature), truth)
    return Judged(accuracy=sums.accuracy, log_loss=sums.log_loss), temperature


def _sums(logits: Array, truth: npt.NDArray[np.int64]) -> MetricSums:
    _check(logits)
    return MetricSums.zero(logits.shape[1]).add(truth, softmax(logits))


def _check(logits: Array) -> None:
    if not np.isfinite(logits).all():
        raise UsageError(_DIVERGED)
