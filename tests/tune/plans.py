"""Plans and rows of sweeps that nobody ran."""

from typing import Any

from satgan.config import load_config
from tune.plan import Plan
from tune.space import space_from
from tune.table import Found, Row
from tune.trials import Base

SPACE = space_from({"vary": {"recipe.generator_l2": [0, 1e-4]}})


def plan_of(**changed: Any) -> Plan:
    """A plan on the CPU, with changes."""
    plan = Plan("x", load_config("demo"), Base("demo", ()), SPACE, (1, 2), 1, "none", 0, 0)
    return plan._replace(**changed)


def row(value: Any, seed: int, score: float | None, state: str = "complete", **changed: Any) -> Row:
    """A trial with one option's value, of which `score` came."""
    name, values = f"gl2_{value}-s{seed}", {"recipe.generator_l2": value}
    curve = [] if score is None else [(10, score * 1.5), (20, score)]
    scores = {} if score is None else {"spectrum": {"value": 1.0, "floor": 0.5, "ratio": 100 - score}}
    best = None if score is None else 20
    plain = Row(name, f"/nowhere/{name}", seed, state, values, 20, 20, score, best, scores, curve, {}, 3.0, "", {})
    return plain._replace(**changed)


def found(*rows: Row, base: Any = 1e-4) -> Found:
    """A sweep of these trials."""
    settings = {"options": ["recipe.generator_l2"], "search": "grid", "stop": "none", "seeds": [1, 2]}
    record = {"settings": settings, "trials": [], "steps": 20}
    return Found("/nowhere", ["recipe.generator_l2"], {"recipe.generator_l2": base}, record, list(rows))
