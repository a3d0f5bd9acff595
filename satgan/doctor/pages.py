"""The rules' pages: their texts from rules.md, their thresholds from the table that the rules themselves use."""

import re
from functools import cache
from importlib.resources import files

from satgan.doctor.limits import limits_of
from satgan.doctor.rules import BY_CODE, Rule
from satgan.errors import ConfigError, nearest

SECTION = re.compile(r"^## ([SG]\d\d) ([a-z0-9-]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PARTS = ("Looks at", "Why", "Change", "Example")


@cache
def pages() -> dict[str, dict[str, str]]:
    """By code the parts of its page, by their names."""
    text = files("satgan.doctor").joinpath("rules.md").read_text(encoding="utf-8")
    return {
        code: dict(re.findall(r"^([A-Z][a-z ]+): (.+)$", body, re.MULTILINE)) for code, _, body in SECTION.findall(text)
    }


def explain(code: str) -> str:
    """A rule's page.

    Raises:
        ConfigError: no rule has the code.
    """
    if code not in BY_CODE:
        raise ConfigError(f"no rule has the code {code!r}", nearest(code, BY_CODE))
    rule = BY_CODE[code]
    page = pages()[code]
    lines = [f"{rule.code} {rule.slug} ({rule.when})", "", f"Looks at: {page['Looks at']}", f"Why: {page['Why']}"]
    lines += [f"Thresholds: {_thresholds(rule)}", f"Change: {page['Change']}", f"Example: {page['Example']}"]
    return "\n".join(lines)


def _thresholds(rule: Rule) -> str:
    if rule.test:
        return f"none: it holds by construction, which {rule.test} keeps so"
    return "".join(f"\n  {limit.text()}" for limit in limits_of(rule.code).values())
