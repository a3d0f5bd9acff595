"""What the rules look at: plain values about a config, a tile set or a run. Whoever reads files makes these."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from satgan.config import Config
from satgan.gan.balance import Rates, config_rates

Event = Mapping[str, Any]
BEGINNINGS = ("start", "resume")
"""Events with which an attempt at a run begins."""


class Machine(NamedTuple):
    """What computes.

    device        cpu or cuda
    cores         that training may use (S28)
    memory_bytes  of the machine, or of one GPU
    precision     of convolutions, as decided there
    """

    device: Literal["cpu", "cuda"]
    cores: int
    memory_bytes: int
    precision: str


class ConfigRecord(NamedTuple):
    """A config, the machine that it is meant for, and whether the store's log has a run on digits (None: no log)."""

    config: Config
    machine: Machine
    digits_in_log: bool | None = None

    @property
    def batch(self) -> int:
        """Tiles of the global batch."""
        return self.config.train.lanes * self.config.train.lane_batch


class TilesRecord(NamedTuple):
    """A tile set, or a folder of tiles.

    tiles    how many there are
    reasons  how many of them an inspection would reject, by reason (satgan/tiles/inspect.py)
    lowest   byte below which 0.5 % of the pixels of some tiles lie
    highest  byte above which 0.5 % of them lie
    """

    url: str
    tiles: int
    reasons: Mapping[str, int]
    lowest: float
    highest: float


class Entry(NamedTuple):
    """A log step of a run: `numbers` follow from config and seed, `timing` from the machine."""

    step: int
    numbers: Mapping[str, float]
    timing: Mapping[str, float]


def newest_attempt(entries: Sequence[Event]) -> Sequence[Event]:
    """What a journal has from the newest beginning on, with it. What befell the attempts before may stand at later
    steps, which were undone."""
    begun = [place for place, entry in enumerate(entries) if entry.get("event") in BEGINNINGS]
    return entries[begun[-1] :] if begun else entries


def rates_of(config: Config, entry: Entry | None) -> Rates:
    """Learning rates of a log step, or the config's."""
    numbers = entry.numbers if entry else {}
    rates = config_rates(config)._asdict()
    return Rates(*(numbers.get(f"learning_rate.{name}", rate) for name, rate in rates.items()))


class Twin(NamedTuple):
    """Another run of the same config, seed, tiles and versions whose numbers differ, and the first step at which."""

    name: str
    step: int


class Corrupt(NamedTuple):
    """What is wrong with a run's newest checkpoint, and from where the run goes on; where it cannot, what to do."""

    found: str
    remedy: str


class RunRecord(NamedTuple):
    """A run while it goes on, or afterwards; None where nobody has looked.

    entries      log steps, ascending; of a long run the first and the last ones
    events       what the journal notes beside them, in order; see `newest_attempt`
    pictures     files under film/
    checkpoints  whole ones that lie there
    corrupt      see `Corrupt`
    logged       whether the observation log has an entry of it; None as long as it goes on
    twin         see `Twin`
    """

    config: Config
    entries: Sequence[Entry]
    events: Sequence[Event] = ()
    pictures: int | None = None
    checkpoints: int | None = None
    corrupt: Corrupt | None = None
    logged: bool | None = None
    twin: Twin | None = None

    @property
    def rates(self) -> Rates:
        """Learning rates as they are now: the config's, or what recipe.auto_balance has made of them; a fork may begin
        with those that its parent's moves left."""
        moved = {event["network"]: event["rate"] for event in self.events if event["event"] == "balance"}
        return rates_of(self.config, self.entries[-1] if self.entries else None)._replace(**moved)
