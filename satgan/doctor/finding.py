"""What a rule says: what was found, how bad it is, since when, and the one thing to do about it."""

from typing import Any, Literal, NamedTuple

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error")
"""An error is what a run does not recover from; a warning what it suffers from, or may have been meant; an info what
healthy runs have as well, and what to know of it."""


class Finding(NamedTuple):
    """One finding of one rule.

    Attributes:
        rule: its code, such as S31.
        level: info, warning or error.
        found: what was found, in a sentence with its values.
        figure: what was measured.
        threshold: the limit that it passed.
        action: one thing to do, as an option or a command that can be pasted.
        since_step: the first log step at which it held, without a break until now; None where no step is meant.
    """

    rule: str
    level: Level
    found: str
    figure: float
    threshold: float
    action: str
    since_step: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values under names, for JSON."""
        return self._asdict()

    def text(self) -> str:
        """Two lines for people: the finding, and below it the action."""
        since = "" if self.since_step is None else f", since step {self.since_step}"
        limits = f"figure {self.figure:.3g}, limit {self.threshold:.3g}{since}"
        return f"{self.rule} {self.level}: {self.found} ({limits})\n  what to do: {self.action}"


def at_least(findings: list[Finding], level: Level) -> list[Finding]:
    """Those of a level or a worse one."""
    return [finding for finding in findings if LEVELS.index(finding.level) >= LEVELS.index(level)]
