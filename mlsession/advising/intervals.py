"""When a difference cannot be chance; pure, without numpy.

Of one share the interval of E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA
22 (1927); of the difference of two independent shares the one that R. G. Newcombe makes of their Wilson intervals,
"Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998), method 10.
Both at 95 %. Where the worst of several candidates is looked for, each interval is made wider so that 95 % hold for
all of them together (C. E. Bonferroni, 1936).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from mlsession.errors import InternalError


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of some images. Raises `InternalError` for more than there are."""

    part: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.part <= self.count:
            raise InternalError(f"a share of {self.part} of {self.count}")

    @property
    def value(self) -> float:
        """0 to 1; NaN of no images."""
        return self.part / self.count if self.count else math.nan

    @property
    def rest(self) -> Share:
        """The others."""
        return Share(part=self.count - self.part, count=self.count)

    def interval(self, candidates: int = 1) -> tuple[float, float]:
        """The lowest and the highest that it may be; (0, 1) of no images. `candidates`: see above."""
        if not self.count:
            return 0.0, 1.0
        z, share = _width_for(candidates), self.value
        spread = z * z / self.count
        centre = share + spread / 2
        reach = z * math.sqrt(share * (1 - share) / self.count + spread / (4 * self.count))
        return max((centre - reach) / (1 + spread), 0.0), min((centre + reach) / (1 + spread), 1.0)

    def least(self, candidates: int = 1) -> float:
        """The lowest that it may be."""
        return self.interval(candidates)[0]

    def plus(self, other: Share) -> Share:
        """Of both sets of images."""
        return Share(part=self.part + other.part, count=self.count + other.count)


def least_gap(larger: Share, smaller: Share, candidates: int = 1) -> float:
    """By how much `larger` is above `smaller` at least; below 0 where that may be chance."""
    if not (larger.count and smaller.count):
        return -1.0
    low = larger.value - larger.interval(candidates)[0]
    high = smaller.interval(candidates)[1] - smaller.value
    return larger.value - smaller.value - math.hypot(low, high)


def _width_for(candidates: int) -> float:
    """In standard deviations of a normal distribution."""
    return NormalDist().inv_cdf(1 - 0.025 / max(candidates, 1))
