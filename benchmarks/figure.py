"""A measured figure and the reference that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """Samples of one quantity, lower is better, and samples of a reference from the same run.

    A figure that has nothing to be compared with has no reference samples.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    reference_name: str = ""
    reference_samples: tuple[float, ...] = ()
    limit: float | None = None
    """The highest median that is accepted, in ``unit``; None: any."""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"figure {self.name!r} has no samples")

    @property
    def median(self) -> float:
        """The median of the samples, in ``unit``."""
        return median(self.samples)

    @property
    def reference(self) -> float | None:
        """The median of the reference samples, in ``unit``."""
        return median(self.reference_samples) if self.reference_samples else None

    @property
    def ratio(self) -> float | None:
        """The median divided by the reference's, where there is one that is not zero."""
        return self.median / self.reference if self.reference else None

    @property
    def within_limit(self) -> bool:
        """Whether the median is accepted."""
        return self.limit is None or self.median <= self.limit
