"""What a process writes its messages to while nobody reads them."""

import os
import pty
import termios
from contextlib import suppress

Terminal = tuple[int, int]
"""The end that would be read, and the one that is written to."""


def held_terminal() -> Terminal:
    """As after Ctrl-S."""
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    return ours, theirs


def full_pipe() -> Terminal:
    """As to a pager that is not scrolled."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, b"\n" * 2**16)
    os.set_blocking(theirs, True)
    return ours, theirs
