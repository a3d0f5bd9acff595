"""What can be seen in a run's record."""

from collections.abc import Callable, Mapping

from satgan.doctor.finding import Finding
from satgan.doctor.records import RunRecord

RunCheck = Callable[[RunRecord], Finding | None]
RUN_CHECKS: Mapping[str, tuple[RunCheck, ...]] = {}
