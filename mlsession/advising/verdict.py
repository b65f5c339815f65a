"""From evidence to one verdict: all rules are asked, and one order says which of their advices counts most.

The order: (1) severity, where a risk that explains something proven counts as proven; (2) what another advice that was
found explains stands behind those that none explains: images that are too small, say, also make two classes be taken
for each other; (3) the larger gain; (4) the order of `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mlsession.advising.advice import Advice, Lever, Severity, Verdict
from mlsession.advising.evidence import Evidence
from mlsession.advising.rules import classes, data, figures, fit
from mlsession.advising.words import leading, of, percent, plural

Rule = Callable[[Evidence], Advice | None]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "leaked_images": figures.leaked_images,
        "no_better_than_guessing": figures.no_better_than_guessing,
        "small_images": data.small_images,
        "unlike_test_images": data.unlike_test_images,
        "wrong_labels": data.wrong_labels,
        "conflicting_copies": data.conflicting_copies,
        "sure_mistakes": data.sure_mistakes,
        "imbalance": classes.imbalance,
        "few_images": classes.few_images,
        "iteration_limit": fit.iteration_limit,
        "underfitting": fit.underfitting,
        "overfitting": fit.overfitting,
        "confused_pair": classes.confused_pair,
        "weak_class": classes.weak_class,
        "unreadable_images": data.unreadable_images,
        "alike_labels": data.alike_labels,
        "few_test_images": figures.few_test_images,
        "no_test_images": figures.no_test_images,
    }
)
"""By name, in order; docs/advice.md has a line for each."""

_LOOKS = ("overfitting", "confused_pair", "weak_class")
"""What mistakes look like, whatever their cause."""

EXPLAINS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "small_images": (*_LOOKS, "sure_mistakes", "underfitting", "few_images"),
        "unlike_test_images": (*_LOOKS, "sure_mistakes", "few_images", "imbalance"),
        "wrong_labels": (*_LOOKS, "sure_mistakes", "underfitting", "iteration_limit", "few_images"),
        "sure_mistakes": (*_LOOKS, "underfitting"),
        "imbalance": ("few_images", "confused_pair", "weak_class"),
        "few_images": _LOOKS,
        "iteration_limit": ("underfitting", "sure_mistakes", "few_images", "confused_pair", "weak_class"),
        "underfitting": ("confused_pair", "weak_class"),
        "alike_labels": ("confused_pair", "weak_class"),
        "confused_pair": ("overfitting", "weak_class"),
    }
)
"""By rule, which advices it makes needless: those about the same classes, or about all.

One about some classes explains one about all if it accounts for `MOST` of the mistakes.
"""

MOST = 1 / 3

OPPOSED = (("underfitting", "overfitting"), ("unlike_test_images", "wrong_labels"))
"""Rules whose steps contradict each other: no verdict has both of a pair."""


def advise(evidence: Evidence) -> Verdict:
    """What limits a model, and the one step to try next; pure. That nothing stands out is a verdict, too."""
    found = [advice for rule in RULES.values() if (advice := rule(evidence)) is not None]
    first, *others = in_order(found) or [_nothing(evidence)]
    return Verdict(advice=first, others=tuple(others))


def in_order(found: list[Advice]) -> list[Advice]:
    """What counts most first; see above. No two with the same rule."""
    severities, rules = list(Severity), list(RULES)

    def key(advice: Advice) -> tuple[int, bool, float, int]:
        explained = any(_explains(other, advice) for other in found)
        is_proven = any(_explains(advice, other) and other.severity is Severity.PROVEN for other in found)
        severity = Severity.PROVEN if is_proven and advice.severity is Severity.RISK else advice.severity
        return severities.index(severity), explained, -advice.gain, rules.index(advice.rule)

    return sorted(found, key=key)


def _explains(cause: Advice, effect: Advice) -> bool:
    if effect.rule not in EXPLAINS.get(cause.rule, ()) or not cause.labels:
        return effect.rule in EXPLAINS.get(cause.rule, ())
    if not effect.labels:
        return cause.share_of_mistakes >= MOST
    return bool(set(cause.labels) & set(effect.labels))


def _nothing(evidence: Evidence) -> Advice:
    """No advice is better than a false one; and what would tell more."""
    part = evidence.judged
    known = evidence.held_out
    if part is not None and (known is None or evidence.accuracy[part].count >= known[1].count or part == "test"):
        known = f"{part} images", evidence.accuracy[part]
    if known is None:
        return Advice(
            rule="nothing",
            severity=Severity.NONE,
            limit="nothing to judge the model by",
            evidence="it was not evaluated",
            next_step="let the training end",
            lever=Lever.NONE,
        )
    words, share = known
    low, high = share.interval()
    # Those held back in turn are in no list: what was said of them went into the choice of a penalty alone.
    errors = evidence.accuracy[part].rest.part if part is not None else 0
    command = evidence.line.about("results", "--part", part, "--errors") if errors and part else ()
    step = "test it on new images, taken where it will be used"
    if errors:
        wrong = plural(errors, f"{part} image")
        step = leading(f"look at the {wrong} that it gets wrong", "; this lists them, the surest first", command)
    return Advice(
        rule="nothing",
        severity=Severity.NONE,
        limit="nothing stands out that limits this model",
        evidence=f"{words}: {of(share)} right, which of more such images may be {percent(low)} to {percent(high)}",
        next_step=step,
        command=command,
        lever=Lever.NONE,
    )
