"""A sweep's table with everything, as Parquet: a row per trial."""

import io
import json
from typing import Any

from tune.table import Found, Row
from tune.trials import shown


def parquet_bytes(found: Found) -> bytes:
    """The table.

    Columns: trial, run, seed, state, why, the varied options (numbers as numbers, else as text), score, judged_tiles,
    best_step, step, steps, seconds; of the best checkpoint `{score}.value`, `.floor` and `.ratio`; `last.{name}`, the
    numbers of the last log step; judged_steps and judged_scores, the learning curve; as JSON the doctor's findings, and
    config, the complete one.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = [_flat(row) for row in found.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for option in found.options:
        values = columns.get(option, [])
        if not all(value is None or (isinstance(value, (int, float)) and value is not True) for value in values):
            columns[option] = [None if value is None else shown(value) for value in values]
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _flat(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = {
        "trial": row.trial, "run": row.url, "seed": str(row.seed), "state": row.state, "why": row.why, **row.values,
        "score": row.score, "judged_tiles": row.tiles, "best_step": row.best_step, "step": row.step, "steps": row.steps,
        "seconds": row.seconds, "dollars": row.dollars,
    }  # fmt: skip
    for name, score in row.scores.items():
        told |= {f"{name}.{part}": float(value) for part, value in score.items()}
    told |= {f"last.{name}": float(value) for name, value in row.numbers.items()}
    steps, scores = [step for step, _ in row.curve], [score for _, score in row.curve]
    plain = {"findings": json.dumps(row.findings), "config": json.dumps(row.config)}
    return told | {"judged_steps": steps, "judged_scores": scores} | plain
