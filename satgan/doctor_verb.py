"""The verb `satgan doctor CONFIG|SET|RUN`, with `doctor rules` and `doctor explain RULE`."""

import json
from argparse import Namespace
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from satgan.bar import with_bar
from satgan.doctor.finding import LEVELS, Finding, at_least
from satgan.doctor.limits import limits_of
from satgan.doctor.records import ConfigRecord
from satgan.doctor.rules import BY_CODE, RULES, Record, Rule, asked, choose, examine
from satgan.errors import ConfigError, SatganError
from satgan.options import Parser, add_config_options, config_from
from satgan.presets import PRESETS
from satgan.tiles.manifest import MANIFEST_NAME
from satgan.tiles.store import open_store
from satgan.train.run_folder import CONFIG_NAME

YAML = (".yaml", ".yml")


def doctor(words: Sequence[str]) -> None:
    """Examines something, or shows rules."""
    named = {"rules": _rules, "explain": _explain}
    if words and words[0] in named:
        named[words[0]](words[1:])
    else:
        _examine(words)


def _examine(words: Sequence[str]) -> None:
    parser = Parser(
        prog="satgan doctor",
        usage="satgan doctor CONFIG|SET|RUN [options] | satgan doctor rules | satgan doctor explain RULE",
        description="hold a config (a preset or a YAML file, with options), a tile set or folder of tiles, or a run "
        "against the 45 rules; exit status 1 where a finding reaches --fail-on",
    )
    parser.add_argument("--json", action="store_true", help="results as JSON")
    parser.add_argument("--select", default="", metavar="CODE,…", help="ask these rules only, such as S17,S31")
    parser.add_argument("--ignore", default="", metavar="CODE,…", help="ask all rules but these")
    parser.add_argument("--fail-on", choices=LEVELS, default="error", help="from which level on to fail")
    add_config_options(parser, words)
    given = parser.parse_all(words)
    codes = choose(_codes(given.select), _codes(given.ignore))
    records = _records(given, codes)
    findings = examine(records, codes)
    _print(findings, asked(records, codes), given.json)
    if failing := at_least(findings, given.fail_on):
        raise SatganError(
            f"{len(failing)} finding(s) of level {given.fail_on} or worse",
            "see each one's action; `satgan doctor explain RULE` tells more, --ignore RULE leaves a rule out",
        )


def _codes(text: str) -> list[str]:
    return [code for code in text.split(",") if code]


def _records(given: Namespace, codes: Collection[str]) -> list[Record]:
    """What the subject is, as records for these rules: a config with its tile set, a set, or a run with its config."""
    subject = given.preset
    if subject in PRESETS or Path(subject).suffix in YAML:
        return _config_records(given)
    if options := [path for path in vars(given) if "." in path]:
        raise ConfigError(f"{options[0]} is an option of a config, and {subject} is none", "leave it out")
    store = open_store(subject)
    if store.exists(CONFIG_NAME):
        from satgan.train.examined import examine_run

        return list(examine_run(subject, codes))
    return [_tiles_record(subject)]


def _config_records(given: Namespace) -> list[Record]:
    from satgan.train.device import decide, this_machine
    from satgan.train.examined import digits_in

    if given.preset not in PRESETS:
        if given.config is not None:
            raise ConfigError(f"two config files: {given.preset} and {given.config}", "give one")
        given.config, given.preset = Path(given.preset), "demo"
    config = config_from(given)
    record = ConfigRecord(config, this_machine(config), digits_in(open_store(config.train.store)))
    source = decide(config).tiles.source
    return [record] if source is None else [record, _tiles_record(source)]


def _tiles_record(url: str) -> Record:
    from satgan.doctor.look_at_tiles import look_at_tiles

    if (
        not open_store(url).exists(MANIFEST_NAME)
        and not url.startswith("s3://")
        and not Path(url).expanduser().is_dir()
    ):
        known = f"{', '.join(PRESETS)}; a YAML file; a tile set; a folder of tiles; a run"
        raise ConfigError(f"nothing to examine at {url!r}", f"give one of: {known}")
    record: Record = with_bar(lambda bar: look_at_tiles(url, bar))
    return record


def _print(findings: Sequence[Finding], codes: set[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"findings": [finding.as_dict() for finding in findings]}, indent=2))
        return
    for finding in findings:
        print(finding.text())
    counts = ", ".join(f"{sum(one.level == level for one in findings)} {level}(s)" for level in reversed(LEVELS))
    print(f"{counts}; {len(codes)} of {len(RULES)} rules asked")


def _rules(words: Sequence[str]) -> None:
    parser = Parser(prog="satgan doctor rules", description="list the 45 rules")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    parser.add_argument("--limits", action="store_true", help="with every threshold and where it comes from")
    given = parser.parse_all(words)
    if given.json:
        print(json.dumps([_about(rule) for rule in RULES], indent=2))
        return
    for rule in RULES:
        print(f"{rule.code}  {rule.slug:<22} {rule.when}{f': {rule.test}' if rule.test else ''}")
        for limit in limits_of(rule.code).values() if given.limits else ():
            print(f"     {limit.text()}")


def _about(rule: Rule) -> dict[str, Any]:
    limits = {name: limit._asdict() for name, limit in limits_of(rule.code).items()}
    return rule._asdict() | {"when": rule.when, "limits": limits}


def _explain(words: Sequence[str]) -> None:
    parser = Parser(prog="satgan doctor explain", description="show a rule's page")
    parser.add_argument("rule", metavar="RULE", help=f"{RULES[0].code} to {list(BY_CODE)[-1]}")

    from satgan.doctor.pages import explain

    print(explain(parser.parse_all(words).rule.upper()))
