"""Checks the operator's policy file before anything uses it.

oslo.policy refuses everybody where it cannot parse a check, and ignores a rule that nothing asks for. Here both are
faults with the rule's name. Neighbour: `policy`, which enforces the rules.
"""

import ast
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from oslo_policy.policy import Rules

from jeroboam.kit.controls import escape_line
from jeroboam.kit.operator_file import read_operator_yaml

# What a check may compare: the attributes of a caller that `policy` passes on.
_ATTRIBUTES = ("roles", "user_id", "project_id", "user_domain_id", "project_domain_id", "is_admin")
_KINDS = ("role", "rule", *_ATTRIBUTES)
# oslo.policy asks with a blocking call, which would hold up all other requests of the process.
_REMOTE_KINDS = frozenset({"http", "https"})
_TARGETS = ("project_id", "user_id")
_OPERATORS = frozenset({"and", "or", "not"})
_VARIABLE = re.compile(r"%\((.*?)\)s")
# oslo.policy parses and asks by recursion: what these two allow together has to fit into Python's stack.
_DEEPEST_CHECK = 20
_LONGEST_CHAIN = 10
_PARSER_LOG = logging.getLogger("oslo_policy._parser")

Family = Mapping[str, str]
"""The default rules of an API family."""


def read_policy_file(file: str) -> dict[str, Any]:
    """Return the rules of that YAML file. Raises `ValueError` with one line that names the file."""
    try:
        rules = read_operator_yaml(file)
    except FileNotFoundError as error:
        raise ValueError(escape_line(f"there is no policy file {file}")) from error
    except OSError as error:
        raise ValueError(escape_line(f"policy file {file}: {error.strerror or error}")) from error
    except ValueError as error:
        raise ValueError(escape_line(f"policy file {file}: {error}")) from error
    if rules is None:
        return {}
    if not isinstance(rules, dict):
        raise ValueError(  # noqa: TRY004  (a fault of the file, not of the code)
            f'policy file {escape_line(file)}: it has to be lines of "rule": "check"'
        )
    return rules


def list_policy_faults(rules: Mapping[Any, Any], families: Sequence[Family]) -> list[str]:
    """Return a fault for each rule that is broken, that refers to none, or that nothing asks for."""
    actions = frozenset(name for family in families for name in family)
    faults: list[str] = []
    references: dict[str, list[str]] = {}
    for name, check in rules.items():
        fault = None if isinstance(name, str) else "the name of a rule has to be text"
        fault = fault or find_broken_check(check)
        if fault is not None:
            faults.append(f'rule "{name}": {fault}')
            continue
        references[name] = list_references(check)
        known = frozenset(rules) | frozenset(rule for family in families if name in family for rule in family)
        known = known if name in actions else known | actions
        missing = [reference for reference in references[name] if reference not in known]
        faults += [
            f'rule "{name}": there is no rule "{reference}"{_suggest(reference, known)}' for reference in missing
        ]
    helpers = frozenset(reference for names in references.values() for reference in names)
    for name in references:
        if name not in actions and name not in helpers:
            faults.append(f'rule "{name}": nothing asks for a rule of that name{_suggest(name, actions)}')
        if name in _follow(name, references):
            faults.append(f'rule "{name}": it refers to itself')
        elif _is_chain_too_long(name, references):
            faults.append(
                f'rule "{name}": it refers to rules that refer to others, more than {_LONGEST_CHAIN} in a row'
            )
    return faults


def find_broken_check(check: object) -> str | None:
    """Return why oslo.policy cannot parse or never grants the check; None for a sound one."""
    if isinstance(check, list):
        tokens = [token for part in check for token in (part if isinstance(part, list) else [part])]
        if not all(isinstance(token, str) for token in tokens):
            return "a check has to be text"
    elif isinstance(check, str):
        if _is_too_deep(check):
            return f"the check is nested more than {_DEEPEST_CHECK} deep"
        tokens = list(_split(check))
    else:
        return 'a check has to be text, as "role:admin"; "@" is everybody and "!" is nobody'
    for token in tokens:
        if (fault := _find_broken_token(token)) is not None:
            return fault
    return None if _is_parsed(check) else f"{check!r} cannot be parsed: look at its brackets and at and, or, not"


def _is_too_deep(check: str) -> bool:
    """Whether brackets and words `not` stand more than `_DEEPEST_CHECK` deep in each other."""
    brackets = negations = 0
    for word in check.split():
        token = word.lstrip("(")
        brackets += len(word) - len(token)
        negations = negations + 1 if token.lower() == "not" else 0
        if brackets + negations > _DEEPEST_CHECK:
            return True
        brackets -= len(token) - len(token.rstrip(")"))
    return False


def _split(check: str) -> Iterator[str]:
    """Yield the comparisons of a check in the policy language."""
    for word in check.split():
        token = word.lstrip("(")
        stripped = token.rstrip(")")
        # The bracket at the end of %(variable)s is not one, since an s follows.
        if stripped and stripped.lower() not in _OPERATORS:
            yield stripped


def _find_broken_token(token: str) -> str | None:
    if token in {"@", "!"}:
        return None
    kind, colon, value = token.partition(":")
    if not colon:
        return f"{token!r} is no check; checks are role:NAME, rule:NAME and ATTRIBUTE:VALUE"
    if not value:
        return f"{token!r} has nothing after its colon, where the value stands with no space before it"
    if kind in _REMOTE_KINDS:
        return f"{token!r} asks another service at each request, which is not supported"
    if kind not in _KINDS and not _is_literal(kind):
        near = get_close_matches(kind, _KINDS, n=1, cutoff=0.5)
        hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(_KINDS)}"
        return f"{token!r} compares {kind!r}, which no caller has; {hint}"
    unknown = [name for name in _VARIABLE.findall(value) if name not in _TARGETS]
    if unknown:
        return f"{token!r} has %({unknown[0]})s, which no object has; there are project_id and user_id"
    return None


def _is_literal(kind: str) -> bool:
    try:
        ast.literal_eval(kind)
    except (ValueError, SyntaxError):
        return False
    return True


def _is_parsed(check: str | list[Any]) -> bool:
    """Whether the library can parse the check as a whole. Its parser logs a traceback and refuses everybody if not."""
    was_disabled, _PARSER_LOG.disabled = _PARSER_LOG.disabled, True
    try:
        parsed = Rules.from_dict({"check": cast("str", check)})["check"]
    finally:
        _PARSER_LOG.disabled = was_disabled
    return str(parsed) != "!" or isinstance(check, list) or check.strip("() \t") == "!"


def list_references(check: str | list[Any]) -> list[str]:
    """Return the names of the rules that a sound check refers to."""
    text = (
        check
        if isinstance(check, str)
        else " ".join(" ".join([part] if isinstance(part, str) else part) for part in check)
    )
    return [token.removeprefix("rule:") for token in _split(text) if token.startswith("rule:")]


def _follow(name: str, references: Mapping[str, Sequence[str]]) -> set[str]:
    """Return all rules that a rule refers to, directly or through others."""
    reached: set[str] = set()
    waiting = list(references.get(name, ()))
    while waiting:
        rule = waiting.pop()
        if rule not in reached:
            reached.add(rule)
            waiting += references.get(rule, ())
    return reached


def _is_chain_too_long(name: str, references: Mapping[str, Sequence[str]]) -> bool:
    """Whether more than `_LONGEST_CHAIN` rules follow each other from that rule on."""
    level = {name}
    for _ in range(_LONGEST_CHAIN + 1):
        level = {reference for rule in level for reference in references.get(rule, ())}
    return bool(level)


def _suggest(name: object, known: Iterable[str]) -> str:
    matches = get_close_matches(str(name), sorted(str(rule) for rule in known), n=1)
    return f'; do you mean "{matches[0]}"?' if matches else "; docs/routes.md names them all"
