"""What the loss is multiplied by in float16, so that small gradients are not lost; a value, pure.

Source: Micikevicius et al., "Mixed precision training" (ICLR 2018), section 3.2; the numbers are those of torch's
`GradScaler`.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 2.0**16
PATIENCE = 2_000
"""Updates in a row without an overflow, after which twice as much is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossScale:
    """Of one optimiser step."""

    factor: float = 1.0
    good: int = 0
    """Updates since it was changed."""
    is_fixed: bool = True
    """In float32 and bfloat16 gradients are not lost: the factor stays 1."""

    def after(self, *, is_finite: bool) -> LossScale:
        """That of the next step, by whether the gradient of this one is finite."""
        if self.is_fixed:
            return self
        if not is_finite:
            return LossScale(factor=self.factor / 2, good=0, is_fixed=False)
        if self.good + 1 < PATIENCE:
            return LossScale(factor=self.factor, good=self.good + 1, is_fixed=False)
        return LossScale(factor=self.factor * 2, good=0, is_fixed=False)
