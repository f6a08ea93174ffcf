"""The bars: what the project promises of its speed. They are told at the end of a run, met or missed.

A missed bar does not fail the run: on a machine that others use as well, a figure is a hint. What must hold anywhere
(no lock lost, nothing lost, cost flat) is asserted by the benchmarks themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise and what was measured."""

    promise: str
    measured: str
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.promise}: {self.measured}"


@dataclass(slots=True)
class Bars:
    """Those of one run."""

    found: list[Bar] = field(default_factory=list)

    def add(self, promise: str, measured: str, met: bool) -> None:
        """Note one."""
        self.found.append(Bar(promise, measured, met))
