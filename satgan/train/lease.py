"""One driver per run: `lease.json` in the run's folder, taken and renewed by conditional writes.

A driver that dies without giving it back leaves it behind. Its process is looked up where that is possible, and the
lease is taken over at once when it is gone; else it is taken over when it was seen unrenewed for its lifetime, by the
clock of the one who looks. A store that cannot be reached does not end a run; a lease that somebody else holds does.
Whatever changes the run asks `check_writing` first: no change begins so late that it could come after a takeover.
Where a bucket's server heeds no conditions two drivers that start within a moment may both begin: then the one whose
lease was overwritten finds that out at its next renewal, and ends.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from uuid import uuid4

from satgan.errors import RunLost, RunTaken, StoreError, StoreMissing, StoreUnreachable
from satgan.tiles.store import Patience, open_store
from satgan.train.holder import Holder
from satgan.train.troubles import Troubles

LEASE_NAME = "lease.json"
LIFETIME_SECONDS = 60.0
WRITE_SECONDS = 30.0
"""A change to the run takes less, from the last `check_writing` until it stands in the store or never will: to connect,
to send for the second until it is asked again (`Sent`), and to wait for an answer (`run_folder.PATIENCE`)."""
RENEW_SECONDS = 10.0
LOOK_SECONDS = 1.0
NOT_RENEWED = "the run's lease was not renewed"
TAKING, RENEWING = Patience(attempts=3), Patience(connect_timeout_seconds=2, read_timeout_seconds=3, attempts=1)
"""With a bucket. Renewing takes two requests, four where an answer was lost on the way: it ends within the lifetime."""


def clock_seconds() -> float:
    """Of a clock that goes on while the machine sleeps, as time.monotonic does not on Linux: meanwhile a lease runs
    out."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def check_left(seconds: float) -> None:
    """Raises StoreUnreachable where no seconds are left of what a `Lease` tells."""
    if seconds <= 0:
        raise StoreUnreachable(
            f"{NOT_RENEWED} for {LIFETIME_SECONDS - WRITE_SECONDS:.0f} s: soon another process may take the run over",
            "nothing is written until it is renewed: see whether the store can be reached",
        )


class Lease:
    """The right to write into a run, for the time of a `with` block; a thread renews it, and another one tells the user
    of trouble with that, who may hold the terminal.

    Args:
        url: of the run's folder.
        say: takes lines for the user.

    Raises:
        RunTaken: on entering: another driver holds it.
        StoreError: on entering: it cannot be taken.
    """

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self._url, self._say = url, say
        self._run = open_store(url, patience=TAKING)
        self._mine = Holder.myself(uuid4().hex, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._lost: RunLost | None = None
        self._seen_at = -math.inf
        """Not after the moment from which others count the lifetime."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)
        self._voice = ThreadPoolExecutor(1, "lease's words")

    def check(self) -> None:
        """Nothing while the lease is held.

        Raises:
            RunLost: it is not any more.
        """
        if self._lost is not None:
            raise self._lost

    def seconds_left(self) -> float:
        """For how long from now a change to the run may be begun, so that it has ended before others take the run over;
        not above 0 where the lease was not renewed of late.

        Raises:
            RunLost: it is not held any more.
        """
        self.check()
        return self._seen_at + LIFETIME_SECONDS - WRITE_SECONDS - clock_seconds()

    def check_writing(self) -> None:
        """Nothing while it is sure that a change to the run that begins now ends before anybody else makes one.

        Raises:
            StoreUnreachable: it is not sure now.
            RunLost: the lease is not held any more.
        """
        check_left(self.seconds_left())

    def __enter__(self) -> "Lease":
        while not self._take(self._free()):
            pass  # somebody was faster: see who
        self._run = open_store(self._url, patience=RENEWING)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(StoreError, RunLost):  # then it runs out, or is another's
            self._renew_or_tell()
            self.check_writing()
            self._run.delete(LEASE_NAME)
        self._voice.shutdown()

    def _free(self) -> bytes | None:
        """Waits until the lease is free; what is there, left behind by somebody who is gone, or None.

        Raises:
            RunTaken: it is renewed, or its holder's process lives here.
        """
        seen, since, told = self._read(), time.monotonic(), False
        while seen is not None and time.monotonic() < since + LIFETIME_SECONDS:
            holder = Holder.read(seen)
            lives = holder.lives() if holder else None
            if lives is False:
                return seen
            if lives:
                raise self._taken(holder)
            if not told:
                told = True
                who = holder.text() if holder else "somebody"
                self._say(
                    f"{self._url} is held by {who}; whether it still runs cannot be seen from here, so its lease is "
                    f"watched for {LIFETIME_SECONDS:.0f} s …"
                )
            time.sleep(LOOK_SECONDS)
            before, seen = seen, self._read()
            if seen is not None and seen != before:
                raise self._taken(Holder.read(seen))
        return seen

    def _take(self, left: bytes | None) -> bool:
        """Takes the lease in place of what was left behind; False where somebody was faster."""
        self._seen_at = clock_seconds()
        self._run.swap(LEASE_NAME, left, self._mine.as_bytes())
        # Read back: an answer may have been lost on the way, and not every server heeds conditions.
        return self._read() == self._mine.as_bytes()

    def _keep_renewing(self) -> None:
        # Whatever goes wrong, be it the telling of it: without this thread another process would take the run.
        troubles = Troubles(self._tell)
        while self._lost is None and not self._ended.wait(RENEW_SECONDS):
            with troubles.borne(NOT_RENEWED, "that is tried again, the run goes on"):
                self._renew_or_tell()

    def _tell(self, text: str) -> None:
        self._voice.submit(self._say, text)

    def _renew_or_tell(self) -> None:
        """Raises nothing but StoreError."""
        try:
            self._renew()
        except StoreError:
            raise
        except Exception as error:
            raise StoreUnreachable(f"{type(error).__name__}: {error}", "see whether the store is well") from error

    def _renew(self) -> None:
        if self._renewed(self._mine):
            return
        found = self._read()
        if found is None or not self._is_mine(found):
            self._lost = self._gone(found)
        elif holder := Holder.read(found):  # an answer was lost: who watches must see other bytes than these
            self._renewed(holder)

    def _renewed(self, left: Holder) -> bool:
        """Says once more that the lease is held; False where there is not what this process had `left`."""
        renewed, begun = left._replace(renewals=left.renewals + 1), clock_seconds()
        done = self._run.swap(LEASE_NAME, left.as_bytes(), renewed.as_bytes())
        if done:
            self._mine, self._seen_at = renewed, begun
        return done

    def _read(self) -> bytes | None:
        try:
            return self._run.read(LEASE_NAME)
        except StoreMissing:
            return None

    def _is_mine(self, found: bytes) -> bool:
        holder = Holder.read(found)
        return holder is not None and holder.token == self._mine.token

    def _taken(self, holder: Holder | None) -> RunTaken:
        who = holder.text() if holder else "somebody whose lease.json cannot be read"
        remedy = "wait until it ends, stop it there (Ctrl-C or SIGTERM), or train under another --name"
        return RunTaken(f"{self._url} is being trained by {who}", remedy)

    def _gone(self, found: bytes | None) -> RunLost:
        holder = Holder.read(found) if found is not None else None
        who = f"{holder.text()} has taken it over" if holder else f"its {LEASE_NAME} is gone"
        return RunLost(
            f"{self._url} is not this process's any more: {who}; this process had not renewed its lease for "
            f"{LIFETIME_SECONDS:.0f} s or more (the store or the process stood still)",
            "nothing is lost: let the other one go on; or stop it and give the same command again",
        )
