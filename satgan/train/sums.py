"""The sums over lanes of a step, each part under way as soon as this worker's lanes have computed it.

On a GPU nobody waits on the host: the lanes' work notes on its stream when a part is ready, also where it is replayed
(graphs.py), and another stream sends from then on. On a CPU a thread talks with the other workers while the lanes
compute on; but where all workers share one machine's cores, talking takes them from computing whenever it happens, and
a message goes whole. The order of the parts is that of the backward pass, on all workers alike.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from satgan.gan.message import Message
from satgan.train.device import computing_pool
from satgan.train.ranks import sum_over_lanes, workers_on_this_machine, world_size


class LaneSums:
    """Adds what lanes tell; see `satgan.gan.message.Combine`.

    Args:
        lanes: of the run.
        device: where the messages are.
        threads: of PyTorch's, as a lane has them.
    """

    def __init__(self, lanes: int, device: torch.device, threads: int) -> None:
        self._lanes = lanes
        self._stream = self._talker = None
        self._early: list[_EarlySum] = []
        if world_size() > 1 and device.type == "cuda":
            # Of a priority over that of what is done beside the steps, which the others do not wait for.
            self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
        elif world_size() > workers_on_this_machine():
            self._talker = computing_pool(1, "messages", threads)

    def now(self, tensors: list[Tensor]) -> Tensor:
        """The sum of one tensor per lane."""
        return sum_over_lanes(tensors, self._lanes)

    def of(self, messages: Sequence[Message]) -> Callable[[], Tensor]:
        """What returns the sum of these messages, whenever the lanes have computed them anew."""
        if self._talker:
            early: _EarlySum = _SumByThread(messages, self._lanes, self._talker)
        elif self._stream:
            early = _SumByStream(messages, self._lanes, self._stream)
        else:
            return lambda: self.now([message.vector for message in messages])
        self._early.append(early)
        return early.total

    def close(self) -> None:
        """Lets go of the lanes, and ends its thread."""
        for early in self._early:
            early.close()
        if self._talker:
            self._talker.shutdown(cancel_futures=True)


class _EarlySum(ABC):
    """Listens to the messages of this worker's lanes."""

    def __init__(self, messages: Sequence[Message], lanes: int) -> None:
        self._messages, self._lanes = messages, lanes
        self._parts = messages[0].parts
        self._sum = torch.empty_like(messages[0].vector)
        self._told: list[set[int]] = [set() for _ in self._parts]
        self._lock = threading.Lock()
        self._ends = [message.tell_parts(partial(self._tell, lane)) for lane, message in enumerate(messages)]

    def close(self) -> None:
        """Listens no more."""
        for end in self._ends:
            end()

    def total(self) -> Tensor:
        """The sum, once this worker's lanes have computed; it stands until they begin anew."""
        self._ready(len(self._parts) - 1)
        self._finish()
        return self._sum

    def _tell(self, lane: int, part: int) -> None:
        """A lane has this part; lanes may compute on several threads. One that tells it again has begun anew, where
        its work could not be recorded."""
        with self._lock:
            self._told[part].add(lane)
            if len(self._told[part]) == len(self._messages):
                self._told[part].clear()
                self._ready(part)

    @abstractmethod
    def _ready(self, part: int) -> None:
        """All of this worker's lanes have this part, and those before it."""

    @abstractmethod
    def _finish(self) -> None:
        """All parts are ready: sees to it that they are added before the sum is read."""

    def _add(self, part: int) -> None:
        place = self._parts[part]
        sum_over_lanes([message.vector[place] for message in self._messages], self._lanes, self._sum[place])


class _SumByThread(_EarlySum):
    def __init__(self, messages: Sequence[Message], lanes: int, talker: ThreadPoolExecutor) -> None:
        self._talker = talker
        self._under_way: list[Future[None]] = []
        super().__init__(messages, lanes)

    def _ready(self, part: int) -> None:
        self._under_way.append(self._talker.submit(self._add, part))

    def _finish(self) -> None:
        under_way, self._under_way = self._under_way, []
        for part in under_way:
            part.result()


class _SumByStream(_EarlySum):
    def __init__(self, messages: Sequence[Message], lanes: int, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        # External: recorded with the lanes' work, they are reached anew whenever it is replayed.
        self._moments = [torch.cuda.Event(external=True) for _ in messages[0].parts]  # type: ignore[no-untyped-call]
        super().__init__(messages, lanes)

    def _ready(self, part: int) -> None:
        self._moments[part].record()

    def _finish(self) -> None:
        with torch.cuda.stream(self._stream):
            for part, moment in enumerate(self._moments):
                self._stream.wait_event(moment)
                self._add(part)
        torch.cuda.current_stream(self._sum.device).wait_stream(self._stream)
