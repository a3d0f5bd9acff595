"""Where a run's numbers come from beside its config: tile set, rollbacks, the run that it was forked from."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Origin(NamedTuple):
    """What each checkpoint of a run records in its state.json and hands on to the next one.

    tile_set     digest of the tile set
    attempt      how often the run was rolled back before
    forked_from  the parent's url (`run`) and the `step` of its checkpoint; None where the run began by itself
    """

    tile_set: str
    attempt: int = 0
    forked_from: dict[str, Any] | None = None


def origin_of(state: Mapping[str, Any]) -> Origin:
    """The origin that a checkpoint's state.json records."""
    return Origin(state["tile_set"], state.get("attempt", 0), state.get("forked_from"))
