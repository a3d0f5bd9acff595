"""Who is told while a run goes on, and who may stop it."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from satgan.train.cost import Bill, as_told
from satgan.train.progress import Progress

if TYPE_CHECKING:
    from satgan.judge.judgement import Judgement

Entry = dict[str, Any]
"""What the journal notes of an event."""


def say_on_stderr(text: str) -> None:
    """A line for the user."""
    print(text, file=sys.stderr, flush=True)


class Watch(NamedTuple):
    """Listeners and wishes.

    progress    told by worker 0
    checkpoint  told by every worker (step, place, numbers) of each one that is whole, between steps: when the next one
                is due, or at the end
    stop        asked by worker 0 between steps: whether to save and stop
    say         told by worker 0, from any thread: a line for the user about something that went wrong and did not end
                the run
    look        asked by worker 0 between steps: whether it is time that all workers ask for a `notice`
    notice      asked by all workers at the same step: a machine that will soon be taken away; None where there is no
                news. The run saves then
    restarts    why workers of this run were started anew, in order, each with its `time`
    check       asked by worker 0, from any thread, before it changes anything of the run (`open_store`): raises
                StoreUnreachable while it is not sure that the run stays this process's for long enough, RunLost where
                it is another's
    judged      told by worker 0 (step, judgement) between steps, once it is noted; with judge.wait of every checkpoint,
                when all of it stands in the store. What it raises ends the run
    numbers     told by every worker (step, figures) at log steps: the journal's numbers and timing, and its own
    bill        asked by worker 0 when it begins; see satgan/train/cost.py
    stands      told by worker 0 (step), from the thread that wrote it, as soon as a checkpoint is whole
    """

    progress: Callable[[Progress], None]
    checkpoint: Callable[[int, str, dict[str, float]], None]
    stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = say_on_stderr
    look: Callable[[], bool] = lambda: False
    notice: Callable[[], Entry | None] = lambda: None
    restarts: Sequence[Entry] = ()
    check: Callable[[], None] = lambda: None
    judged: "Callable[[int, Judgement], None]" = lambda step, judgement: None
    numbers: Callable[[int, dict[str, float]], None] = lambda step, figures: None
    bill: Bill = as_told
    stands: Callable[[int], None] = lambda step: None
