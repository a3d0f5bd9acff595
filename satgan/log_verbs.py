"""The verbs `satgan log`, `satgan note` and `satgan todo`: the observation log of a store."""

import json
import re
from collections.abc import Sequence
from typing import Any

from satgan.doctor.finding import LEVELS
from satgan.errors import InputError
from satgan.options import Parser
from satgan.tiles.store import Store, open_store
from satgan.train.observations import Entry, add_todo, finish_todo, note, read_log, runs, todos

HEADINGS = ("when", "run", "outcome", "step", "best score", "judged by", "hours", "USD", "doctor", "changed")
SHOWN_CHANGES = 3
STORE_HELP = "folder or s3:// prefix (default: runs)"


def log(words: Sequence[str]) -> None:
    """Lists the runs of the log, shows one, or adds one that is missing."""
    named = {"show": _show, "add": _add}
    if words and words[0] in named:
        named[words[0]](words[1:])
    else:
        _list(words)


def _list(words: Sequence[str]) -> None:
    parser = Parser(
        prog="satgan log",
        usage="satgan log [STORE] [--json|--markdown] | satgan log show RUN | satgan log add RUN",
        description="the observation log of a store, newest first: what was changed, what came out",
    )
    parser.add_argument("store", nargs="?", default="runs", metavar="STORE", help=STORE_HELP)
    parser.add_argument("--json", action="store_true", help="results as JSON")
    parser.add_argument("--markdown", action="store_true", help="a table for a notebook or a repository")
    given = parser.parse_all(words)

    from satgan.train.observed import entries_now

    store = open_store(given.store)
    known = read_log(store)
    found = entries_now(store, known)
    if given.json:
        print(json.dumps({"runs": found, "todo": todos(known)}, indent=2, ensure_ascii=False))
    else:
        print(_short(_table([_row(entry) for entry in found], given.markdown)))
        print(_remarks(found, todos(known)), end="")


def _show(words: Sequence[str]) -> None:
    parser = Parser(prog="satgan log show", description="show a run's entry: changes, losses, scores, findings, notes")
    parser.add_argument("run", metavar="RUN", help="name in ./runs, or folder or s3:// prefix")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    given = parser.parse_all(words)

    from satgan.train.observed import entries_now

    store, name = split(given.run)
    found = [entry for entry in entries_now(store, read_log(store)) if entry["run"] == name]
    if not found:
        raise InputError(f"the log of {store.url} has no entry of {name}", f"make it: satgan log add {given.run}")
    print(json.dumps(found[0], indent=2, ensure_ascii=False) if given.json else _page(found[0]))


def _add(words: Sequence[str]) -> None:
    parser = Parser(prog="satgan log add", description="add the entry of a run that left none, from its journal")
    parser.add_argument("run", metavar="RUN", help="name in ./runs, or folder or s3:// prefix")
    store, name = split(parser.parse_all(words).run)

    from satgan.train.observed import observe_run

    print(_page(observe_run(store, name) | {"notes": []}))


def note_verb(words: Sequence[str]) -> None:
    """Adds a note on a run."""
    parser = Parser(prog="satgan note", description="add a note on a run to the observation log")
    parser.add_argument("run", metavar="RUN", help="name in ./runs, or folder or s3:// prefix")
    parser.add_argument("text", metavar="TEXT", help="what you saw")
    given = parser.parse_all(words)
    store, name = split(given.run)
    if not any(entry["run"] == name for entry in runs(read_log(store))) and not store.exists(f"{name}/config.yaml"):
        raise InputError(f"no run {name} in {store.url}", "see `satgan runs` and `satgan log`")
    note(store, name, given.text)


def todo(words: Sequence[str]) -> None:
    """Keeps the list of what to try."""
    parser = Parser(prog="satgan todo", description="what to try: add TEXT, done NUMBER, list")
    parser.add_argument("what", choices=("add", "done", "list"), help="what to do")
    parser.add_argument("item", nargs="?", metavar="TEXT|NUMBER", help="to add, or that is done")
    parser.add_argument("--store", default="runs", metavar="STORE", help=STORE_HELP)
    given = parser.parse_all(words)
    store = open_store(given.store)
    if given.what == "list":
        print(_todo_lines(todos(read_log(store))), end="")
    elif not given.item:
        raise InputError(f"satgan todo {given.what} needs {'a text' if given.what == 'add' else 'a number'}", "give it")
    elif given.what == "add":
        print(f"{add_todo(store, given.item)['number']}")
    elif not given.item.isdigit():
        raise InputError(f"{given.item!r} is no number", "see `satgan todo list`")
    else:
        finish_todo(store, int(given.item))


def split(run: str) -> tuple[Store, str]:
    """The store and the name of a run: a name alone is one in ./runs."""
    store, slash, name = run.rstrip("/").rpartition("/")
    return open_store(store if slash else "runs"), name


def _row(entry: Entry) -> tuple[str, ...]:
    scores, levels = entry["scores"], [one["level"] for one in entry["findings"] if one["over_step"] is None]
    doctor = ", ".join(f"{levels.count(level)} {level}" for level in reversed(LEVELS) if level in levels)
    best = f"{scores['best']:.2f} after {scores['best_step']:,}" if scores else ""
    by = f"{scores['tiles']:,} tiles" if scores else ""
    changed = [f"{name} {before} > {now}" for name, (before, now) in entry["changes"].items()]
    more = f", {len(changed) - SHOWN_CHANGES} more" if len(changed) > SHOWN_CHANGES else ""
    step = f"{entry['step']:,} of {entry['steps']:,}"
    return (
        entry["time"][:16].replace("T", " "), entry["run"], entry["outcome"][:40], step, best, by,
        f"{entry['seconds'] / 3600:.2f}", _dollars(entry), doctor, ", ".join(changed[:SHOWN_CHANGES]) + more,
    )  # fmt: skip


def _dollars(entry: Entry) -> str:
    """What the run has cost; empty where no price was known, or the entry was made before costs were noted."""
    dollars = entry.get("dollars")
    return "" if dollars is None else f"{dollars:,.2f}"


def _table(rows: Sequence[tuple[str, ...]], as_markdown: bool) -> str:
    if as_markdown:
        lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
        return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in lines)
    table = [HEADINGS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    padded = ("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in padded)


def _remarks(found: Sequence[Entry], open_items: Sequence[Entry]) -> str:
    notes = [(one["time"], entry["run"], one["text"]) for entry in found for one in entry["notes"]]
    lines = [f"- {when[:10]} {run}: {text}" for when, run, text in sorted(notes, reverse=True)]
    told = "\n".join(["", "notes", "", *lines, ""]) if lines else ""
    return told + (f"\nto try\n\n{_todo_lines(open_items)}" if open_items else "")


def _todo_lines(items: Sequence[Entry]) -> str:
    return "".join(f"{item['number']}. {item['text']} ({item['by']}, {item['time'][:10]})\n" for item in items)


def _page(entry: Entry) -> str:
    lines = [f"{entry['run']}: {entry['outcome']} after step {entry['step']:,} of {entry['steps']:,}, {entry['time']}"]
    cost = f", {dollars} USD" if (dollars := _dollars(entry)) else ""
    hours = (
        f"{entry['seconds'] / 3600:.2f} h{cost}; resumed {entry['resumed']} times, restarted {entry['restarted']} times"
    )
    path = "" if entry["path_a_share"] is None else f"; path A in {entry['path_a_share']:.0%} of the log steps"
    lines += [hours + path, f"changed against {entry['parent'] or 'nothing: there was no run before'}"]
    lines += [f"  {name}: {before} before, {now} now" for name, (before, now) in entry["changes"].items()]
    lines += ["losses, first and last"] + [f"  {name}: {_pair(two)}" for name, two in entry["losses"].items()]
    if entry.get("moves"):
        lines += [f"learning rates, first and last, after {entry['moves']} move(s)"]
        lines += [f"  {network}: {_pair(two)}" for network, two in entry["rates"].items()]
    lines += _scores(entry["scores"])
    lines += ["doctor"] + [f"  {_finding(one)}" for one in entry["findings"]]
    computed = [
        f"{name} {value}" for name, value in entry["facts"].items() if name.startswith(("machine.", "versions."))
    ]
    lines += [
        f"computed by {', '.join(computed)}",
        f"tile set {entry['tile_set']}, config {entry['digest']}",
    ]
    lines += [f"note of {one['by']}, {one['time'][:10]}: {one['text']}" for one in entry["notes"]]
    return _short("\n".join(lines))


def _short(text: str) -> str:
    """Digests of 64 digits by their first 12."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)


def _pair(two: Sequence[float]) -> str:
    return f"{two[0]:.4g}, {two[1]:.4g}"


def _scores(scores: dict[str, Any]) -> list[str]:
    if not scores:
        return ["not judged"]
    best = f"best {scores['best']:.2f} after step {scores['best_step']:,}, by {scores['tiles']:,} tiles"
    lines = [f"score {scores['last']:.2f}, {best}; beside floors"]
    return lines + [f"  {name}: {_pair(two)}" for name, two in scores["parts"].items()]


def _finding(one: dict[str, Any]) -> str:
    over = "" if one["over_step"] is None else f", over after {one['over_step']}"
    since = "" if one["since_step"] is None else f" since step {one['since_step']}"
    return f"{one['rule']} {one['level']}{since}{over} ({one['figure']:.3g})"
