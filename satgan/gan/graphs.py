"""A step recorded once and replayed: on a GPU as CUDA graphs, some ten launches a step instead of a thousand.

What is recorded are sections of the step: the work of this worker's lanes for each kind of update, and each Adam's
update of the weights. Between them lie what workers tell each other, but for what is under way by then
(satgan/train/sums.py), and the choice of the path. A section reads and writes the same memory at every replay, so a
lane's inputs are copied to where it looks for them (`Held`).

All of the lanes' sections share memory and are recorded one after the other in the order of a step, also those that
the coming step leaves out: a graph may take memory that the one before has let go, and what the fakes' section keeps
for the generator's update (S34) is let go by that update alone. Recording computes nothing, and the lanes' sections
change nothing that outlasts the step, so they may be run beforehand, for the libraries to set themselves up.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from satgan.gan.noise import DRAWN_TENSORS, Draws

Result = TypeVar("Result")

WARM_UPS = 2
"""Runs of the lanes' sections before they are recorded."""


class Recorder(Protocol):
    """Records work on a device; satgan/train/device.py has the one for CUDA. Each method raises RuntimeError where the
    work cannot be recorded."""

    def warm_up(self, work: Callable[[], object]) -> None:
        """Does the work where it will be recorded."""

    def record(self, works: Sequence[Callable[[], Result]]) -> list[Callable[[], Result]]:
        """Records works in their order, without doing them, in memory that they share.

        Args:
            works: each on fixed memory, without a host read.

        Returns:
            For each what does it, and returns what it returned when it was recorded, whose tensors are filled anew.
        """
        ...


class Held:
    """One lane's inputs, always in the same memory.

    `made_anew` counts how often that memory had to be another one, because an input had another shape.
    """

    def __init__(self, lane_batch: int, device: torch.device) -> None:
        # Empty but in the history's turns.
        self._tensors = {"history_pick": torch.zeros(lane_batch, dtype=torch.int64, device=device)}
        self.made_anew = 0

    def take(self, reals: Tensor, draws: Draws) -> tuple[Tensor, Draws]:
        """Copies real tiles and draws; returns the copies."""
        names = (name for name in DRAWN_TENSORS if len(getattr(draws, name)) or name != "history_pick")
        drawn: dict[str, Any] = {name: self._copied(name, getattr(draws, name)) for name in names}
        drawn.setdefault("history_pick", self._tensors["history_pick"])
        return self._copied("reals", reals), draws._replace(**drawn)

    def _copied(self, name: str, given: Tensor) -> Tensor:
        held = self._tensors.get(name)
        if held is None or held.shape != given.shape:
            self.made_anew += 1
            held = self._tensors[name] = given.clone()
        else:
            held.copy_(given, non_blocking=True)
        return held


class Graphs:
    """The recorded sections of one pair's step. What cannot be recorded is computed directly, from then on, and `news`
    says why.

    Args:
        recorder: of the pair's device.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder | None = recorder
        self._sections: dict[Hashable, Callable[[], None]] = {}
        self._inputs: tuple[int, ...] = ()
        self._totals: dict[Hashable, Tensor] = {}
        self._updates: dict[Hashable, Callable[[], Tensor] | None] = {}
        self._news = ""

    def record(self, inputs: tuple[int, ...], sections: Mapping[Hashable, Callable[[], None]]) -> None:
        """Records the lanes' sections, unless they are recorded with these inputs.

        Args:
            inputs: each lane's `Held.made_anew`.
            sections: all that can occur, in the order of a step.
        """
        if inputs == self._inputs:
            return
        self._sections, self._inputs = {}, inputs  # those of other inputs give their memory back first
        if self._recorder is None:
            return
        try:
            for _ in range(WARM_UPS):
                for work in sections.values():
                    self._recorder.warm_up(work)
            self._sections = dict(zip(sections, self._recorder.record(list(sections.values())), strict=True))
        except RuntimeError as error:
            self._give_up(error)

    def run(self, section: Hashable, work: Callable[[], None]) -> None:
        """Replays a section; one that is not recorded is computed by `work`."""
        self._sections.get(section, work)()

    def update(self, name: Hashable, network: Hashable, total: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
        """`work(total)`, the update of a network's weights: computed at first, for the Adam to make its moments; then
        recorded and replayed.

        Args:
            name: of the update.
            network: whose; its updates read their messages in the same place.
            total: the summed message `[M]`.
            work: changes weights, moments and `total` in place; returns figures `[F]`, which the next replay changes.
        """
        held = self._totals.setdefault(network, total)
        if held is not total:
            held.copy_(total)
        if self._recorder is None or name not in self._updates:
            self._updates[name] = None
            return work(held)
        if self._updates[name] is None:
            self._record_update(name, lambda: work(held))
        replay = self._updates[name]
        return replay() if replay else work(held)

    def news(self) -> str:
        """Why something could not be recorded, once; else empty."""
        news, self._news = self._news, ""
        return news

    def _record_update(self, name: Hashable, work: Callable[[], Tensor]) -> None:
        assert self._recorder is not None
        try:
            (self._updates[name],) = self._recorder.record([work])
        except RuntimeError as error:
            self._give_up(error)

    def _give_up(self, error: RuntimeError) -> None:
        """What is recorded already goes on: a step's sections cannot change over in the midst of it."""
        self._recorder = None
        first: BaseException = error
        while first.__context__ is not None:  # CUDA's last word is only that something failed before
            first = first.__context__
        first_line = str(first).strip().partition("\n")[0]
        self._news = f"{type(first).__name__}: {first_line}"
