"""Where an epoch's time goes, the old way and with prebake, on the user's own photographs and machine; and a plan."""

from prebake.bench.measuring import measure
from prebake.bench.planning import Plan, plan
from prebake.bench.result import BenchResult

__all__ = ["BenchResult", "Plan", "measure", "plan"]
