"""The metrics that objective curves are drawn over: names, units, and what in them is no accident."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.curves import Floats


@dataclass(frozen=True, slots=True)
class ObjectiveMetric:
    """A metric of the stimuli table; more is better in every one.

    `fall` is how much a curve may fall while the rate rises before it is said, `far` how far under the others
    a codec must lie to look broken, both on the scale of the curve.
    """

    name: str
    label: str
    unit: str
    fall: float
    far: float
    lossless: float
    """The value that an unchanged picture has."""
    in_decibels: bool = False
    """Whether curves are drawn over -10 log10(1 - value), as is usual for values that crowd under 1."""

    @property
    def title(self) -> str:
        """Label and unit of the scale of the curve."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def on_curve(self, values: Floats) -> Floats:
        """Values of the table on the scale of the curve."""
        if not self.in_decibels:
            return values
        # A value within rounding of 1 is 60 dB: the table holds six decimals.
        return np.asarray(-10.0 * np.log10(np.maximum(1.0 - values, 1e-6)))

    def said(self, value: float) -> str:
        """A difference or value on the scale of the curve, for a sentence."""
        return f"{value:.1f} {self.unit or 'points'}"


OBJECTIVE_METRICS: tuple[ObjectiveMetric, ...] = (
    ObjectiveMetric("psnr", "PSNR", "dB", 0.1, 6.0, 100.0),
    ObjectiveMetric("ssimulacra2", "SSIMULACRA2", "", 0.5, 40.0, 100.0),
    ObjectiveMetric("ms_ssim", "MS-SSIM", "dB", 0.1, 6.0, 1.0, in_decibels=True),
    ObjectiveMetric("vmaf_neg", "VMAF-neg", "", 0.5, 40.0, float("inf")),
    ObjectiveMetric("xpsnr", "XPSNR", "dB", 0.1, 6.0, 100.0),
)
