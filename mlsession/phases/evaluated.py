"""What a state of evaluating holds, for those who only read it; no torch."""

from __future__ import annotations

from collections.abc import Mapping

from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.sums import MetricSums
from mlsession.session.phase import Array, Json, PhaseState

PARTS = ("training", "validation", "test")


def encode_sums(sums: Mapping[str, MetricSums]) -> tuple[dict[str, Array], dict[str, Json]]:
    """The sums by part as arrays `confusion.<part>` int64 [K, K], and `loss_units` by part for the data."""
    saved = {part: of_part.to_phase_state() for part, of_part in sums.items()}
    arrays = {f"confusion.{part}": state.arrays["confusion"] for part, state in saved.items()}
    return arrays, {part: state.data["loss_units"] for part, state in saved.items()}


def sums_of(state: PhaseState) -> dict[str, MetricSums]:
    """The sums by part in a state of evaluating."""
    units = state.data["loss_units"]
    assert isinstance(units, dict)
    return {
        part: MetricSums.from_phase_state(
            PhaseState({"confusion": state.arrays[f"confusion.{part}"]}, {"loss_units": units[part]})
        )
        for part in PARTS
    }


def metrics_of(state: PhaseState, classes: tuple[str, ...]) -> dict[str, ClassifierMetrics]:
    """The metrics by part that the last state of evaluating amounts to; parts without images are absent."""
    return {part: ClassifierMetrics.of(sums, classes) for part, sums in sums_of(state).items() if sums.count}
