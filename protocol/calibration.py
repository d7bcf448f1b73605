"""What this machine draws, idle and at work, measured once by a source of joules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.plan import EnergySourceName, PositiveFloat
from protocol.power_curve import PowerCurve
from protocol.record_entry import Timestamp
from protocol.value import Fraction, NonNegative, Value


class PowerSample(Value):
    """Mean watts of all CPU packages while the machine did one thing."""

    load: str
    """``idle``, ``reading memory`` or the instruction that was repeated."""
    threads: Annotated[int, Field(ge=0)]
    """That the load ran on."""
    seconds: PositiveFloat
    busy_cpus: NonNegative
    """How many CPUs were busy on average, whoever with; one at half its highest frequency counts as a half where
    the frequency is known."""
    others_cpu_share: Fraction
    """What part of the machine's CPU time went to anything but the engine's process."""
    watts: NonNegative


class EnergyCalibration(Value):
    """What a machine draws, measured once."""

    schema_version: Literal[1] = 1
    measured_at: Timestamp
    source: EnergySourceName
    """What measured."""
    cpu_model: str
    cpus: Annotated[int, Field(ge=1)]
    """Online."""
    governors: tuple[str, ...]
    """The frequency governors in use, each once; none where the kernel does not tell."""
    idle_watts: NonNegative
    """Watts of all CPU packages while the machine was quiet."""
    idle_busy_share: Fraction
    """What part of the machine's CPU time was used all the same, the engine's own use included."""
    curve: PowerCurve | None
    """``None`` where no loads were asked for."""
    samples: Annotated[tuple[PowerSample, ...], Field(min_length=1)]
    """The idle one first."""
