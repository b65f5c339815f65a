"""A verdict as a notebook shows it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.display.html import card, facts, table

if TYPE_CHECKING:
    from mlsession.advising.advice import Verdict


def verdict_html(verdict: Verdict) -> str:
    """A card: limit, evidence, next step, and what else was found."""
    advice = verdict.advice
    about = {"because": advice.evidence, "next step": advice.next_step, "command": advice.command_line or None}
    others = table(("also", "because"), [(each.limit, each.evidence) for each in verdict.others])
    return card("Advice", advice.limit, [facts(about), others if verdict.others else ""])
