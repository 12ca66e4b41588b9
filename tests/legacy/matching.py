"""Compares an answer of the server with a recorded one.

A recorded answer is plain JSON; what the server makes up stands in it as a placeholder:

    {{id:v}}           an id with the prefix "v"; {{id:v:label}} where a scenario makes more than one
    {{thinker:label}}  a thinker's id, derived from a token
    {{random}}         the random end of a room's id
    {{now}}            the time of the request, as ISO 8601 with milliseconds and Z
    {{now_ms}}         the same as a number of milliseconds
    {{any}}            any value at all
    {{absent}}         no value: the field must be missing
    {{name}}           a variable of the scenario

Within one scenario a placeholder always stands for the same value, and no two stand for the same one.
Fields that the recorded answer does not name may be added.
"""

import json
import re
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

PLACEHOLDER = re.compile(r"\{\{([^{}]+)\}\}")
VARIABLE = re.compile(r"([A-Za-z_]\w*)([+-]\d+)?")
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NEAR_MS = 15 * 60 * 1000
MISSING: Any = object()


def now_ms() -> int:
    return int(time.time() * 1000)


def variable(text: str, variables: Mapping[str, Any]) -> Any:
    """Returns the value of `name`, `name+5` or `name-5`; `now_ms` is the current time."""
    match = VARIABLE.fullmatch(text)
    if match is None or (match[1] not in variables and match[1] != "now_ms"):
        raise KeyError(f"no such variable: {text}")
    value = now_ms() if match[1] == "now_ms" else variables[match[1]]
    return int(value) + int(match[2]) if match[2] else value


def render(node: Any, variables: Mapping[str, Any]) -> Any:
    """Fills variables into a request. A text that is only one variable keeps the variable's type."""
    if isinstance(node, dict):
        return {key: render(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [render(value, variables) for value in node]
    if not isinstance(node, str):
        return node
    if whole := PLACEHOLDER.fullmatch(node):
        return variable(whole[1], variables)
    return PLACEHOLDER.sub(lambda found: str(variable(found[1], variables)), node)


def dig(node: Any, path: str) -> Any:
    """Returns the value at a dotted path such as `items.0.id`, or MISSING."""
    for part in path.split("."):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return MISSING
    return node


def json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names[type(value)]


def short(value: Any, limit: int = 160) -> str:
    text = "nothing" if value is MISSING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def near_now(milliseconds: float) -> bool:
    return abs(milliseconds - now_ms()) < NEAR_MS


class Matcher:
    """Compares the answers of one scenario, and remembers the value of each placeholder."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self.values: dict[str, str] = {}
        self.placeholders: dict[str, str] = {}
        self.unordered: Collection[str] = ()

    def differences(self, expected: Any, actual: Any, unordered: Collection[str] = ()) -> list[str]:
        """Returns one line for each difference; if there are none, remembers the values of the placeholders."""
        before = dict(self.values), dict(self.placeholders)
        self.unordered = unordered
        found = self._compare(expected, actual, "")
        if found:
            self.values, self.placeholders = before
        return found

    def _compare(self, expected: Any, actual: Any, path: str) -> list[str]:
        if isinstance(expected, str) and PLACEHOLDER.search(expected):
            return self._compare_template(expected, actual, path)
        if json_type(expected) != json_type(actual):
            return [differ(path, expected, actual)]
        if isinstance(expected, dict):
            return [
                line
                for key, value in expected.items()
                for line in self._compare_field(value, actual.get(key, MISSING), join(path, key))
            ]
        if isinstance(expected, list):
            return self._compare_list(expected, actual, path)
        return [] if expected == actual else [differ(path, expected, actual)]

    def _compare_field(self, expected: Any, actual: Any, path: str) -> list[str]:
        if expected == "{{absent}}":
            return [] if actual is MISSING else [f"{path} must be absent, it is {short(actual)}"]
        if actual is MISSING:
            return [f"{path} is missing, it was {short(expected)}"]
        return self._compare(expected, actual, path)

    def _compare_list(self, expected: list[Any], actual: list[Any], path: str) -> list[str]:
        if len(expected) != len(actual):
            return [f"{path or 'the body'} has {len(actual)} entries, expected {len(expected)}: {short(actual)}"]
        if path not in self.unordered:
            pairs = enumerate(zip(expected, actual, strict=True))
            return [line for i, (e, a) in pairs for line in self._compare(e, a, join(path, str(i)))]
        left = list(actual)
        for i, entry in enumerate(expected):
            partner = next((a for a in left if self._matches(entry, a)), MISSING)
            if partner is MISSING:
                return [f"{join(path, str(i))}: no entry like {short(entry)} among {short(left)}"]
            left.remove(partner)
        return []

    def _matches(self, expected: Any, actual: Any) -> bool:
        before = dict(self.values), dict(self.placeholders)
        if not self._compare(expected, actual, ""):
            return True
        self.values, self.placeholders = before
        return False

    def _compare_template(self, expected: str, actual: Any, path: str) -> list[str]:
        whole = PLACEHOLDER.fullmatch(expected)
        if whole and whole[1] == "any":
            return []
        if whole and whole[1] == "now_ms":
            number = isinstance(actual, int | float) and not isinstance(actual, bool)
            return [] if number and near_now(actual) else [differ(path, expected, actual)]
        if whole and whole[1] in self.variables:
            return self._compare(self.variables[whole[1]], actual, path)
        if not isinstance(actual, str):
            return [differ(path, expected, actual)]
        return self._compare_text(expected, actual, path)

    def _compare_text(self, expected: str, actual: str, path: str) -> list[str]:
        """Converts the expected text to a pattern with a group for each placeholder."""
        pattern, position, groups = "", 0, list[str]()
        for found in PLACEHOLDER.finditer(expected):
            pattern += re.escape(expected[position : found.start()])
            position = found.end()
            if form := form_of(found[1]):
                pattern += f"({form})"
                groups.append(expected[:position] if found[1].startswith("random") else found[1])
            else:
                pattern += re.escape(str(variable(found[1], self.variables)))
        pattern += re.escape(expected[position:])
        match = re.fullmatch(pattern, actual, re.DOTALL)
        if match is None:
            return [differ(path, expected, actual)]
        return [
            line
            for placeholder, value in zip(groups, match.groups(), strict=True)
            for line in self._remember(placeholder, value, path)
        ]

    def _remember(self, placeholder: str, value: str, path: str) -> list[str]:
        if placeholder == "now":
            moment = datetime.fromisoformat(value).timestamp() * 1000
            return [] if near_now(moment) else [f"{path} is {value}, which is not now"]
        known = self.values.setdefault(placeholder, value)
        if known != value:
            return [f"{path} is {value}, but {placeholder} was {known} before"]
        other = self.placeholders.setdefault(value, placeholder)
        if other != placeholder:
            return [f"{path} is {value}, which is {other} and not {placeholder}"]
        return []


def form_of(placeholder: str) -> str | None:
    """Returns the pattern of a placeholder, or None for a variable."""
    kind, _, rest = placeholder.partition(":")
    if kind == "id":
        return rf"{rest.partition(':')[0]}-[0-9a-z]{{8}}-[0-9a-z]{{10,32}}"
    return {"now": ISO_TIME.pattern, "thinker": "thinker-[0-9a-f]{12}", "random": "[0-9a-z]{1,32}"}.get(kind)


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def differ(path: str, expected: Any, actual: Any) -> str:
    return f"{path or 'the body'} is {short(actual)}, expected {short(expected)}"


def type_differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Compares only the fields and their types; of a list only the first entry."""
    if json_type(expected) != json_type(actual):
        return [f"{path or 'the body'} is {short(actual)}, expected the type {json_type(expected)}"]
    if isinstance(expected, list):
        return type_differences(expected[0], actual[0], join(path, "0")) if expected and actual else []
    if not isinstance(expected, dict):
        return []
    lines = [f"{join(path, key)} is missing" for key in expected if key not in actual]
    for key in expected.keys() & actual.keys():
        lines += type_differences(expected[key], actual[key], join(path, key))
    return lines
