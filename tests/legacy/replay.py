"""Replays the recorded scenarios against a running server. README.md explains the files."""

from __future__ import annotations

import asyncio
import copy
import gzip
import hashlib
import hmac
import json
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx

from tests.legacy.matching import MISSING, Matcher, dig, render, short, type_differences
from tests.support.yaml_file import read_yaml

HERE = Path(__file__).parent
GENERATIONS = (1, 2)
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
BODIES = ("json", "raw", "form", "multipart")
OPTIONS = {
    "headers",
    "type",
    "gzip",
    "pad",
    "sign",
    "sleep",
    "parallel",
    "repeat",
    "save",
    "assert",
    "project",
}
OPTIONS |= {"unordered", "compare", "note", "service"}
UNUSABLE = ("crashed", "raced")


@dataclass(frozen=True)
class Answer:
    """A recorded answer, or one that replaces it.

    `status` alone means that the body was a page or a text. `statuses` counts those of parallel requests,
    `runs` lists those of repeated requests. An unusable answer asks only for no server error.
    """

    status: int | None = None
    body: Any = MISSING
    statuses: Mapping[int, int] | None = None
    runs: Sequence[Sequence[int]] | None = None

    @staticmethod
    def read(node: Any) -> Answer:
        if node in UNUSABLE:
            return Answer()
        if isinstance(node, int):
            return Answer(status=node)
        if "statuses" in node:
            return Answer(statuses=node["statuses"])
        if "runs" in node:
            last = Answer.read(node["last"])
            return Answer(status=last.status, body=last.body, runs=node["runs"])
        [(status, body)] = node.items()
        return Answer(status=status, body=body)


@dataclass(frozen=True)
class Step:
    name: str
    method: str
    path: str
    options: Mapping[str, Any]
    answers: Mapping[int, Answer]

    @staticmethod
    def read(node: dict[str, Any]) -> Step:
        method = next(key for key in METHODS if key in node)
        answers = {g: node.get(f"gen{g}", node.get("answer")) for g in GENERATIONS}
        options = {key: node[key] for key in node.keys() & (OPTIONS | {*BODIES})}
        unknown = node.keys() - options.keys() - {"step", method, "answer", "gen1", "gen2"}
        if unknown:
            raise ValueError(f"step {node['step']}: unknown {unknown}")
        return Step(
            name=node["step"],
            method=method.upper(),
            path=node[method],
            options=options,
            answers={g: Answer.read(answer) for g, answer in answers.items() if answer is not None},
        )


@dataclass(frozen=True)
class Scenario:
    name: str
    service: str
    steps: Sequence[Step]
    fresh: bool = False
    last: bool = False
    vars: Mapping[str, Any] = field(default_factory=dict)

    def steps_of(self, generation: int) -> list[Step]:
        return [step for step in self.steps if generation in step.answers]


@dataclass(frozen=True)
class Deviation:
    """A step that is deliberately answered differently from the legacy server, with the reason."""

    reason: str
    answer: Answer | None = None
    but: Mapping[str, Any] = field(default_factory=dict)

    def expected(self, recorded: Answer) -> Answer:
        """Returns its own answer, or the recorded one with the fields of `but` replaced."""
        if self.answer is not None:
            return self.answer
        body = copy.deepcopy(recorded.body)
        for path, value in self.but.items():
            parent, _, key = path.rpartition(".")
            target = dig(body, parent) if parent else body
            target[int(key) if isinstance(target, list) else key] = value
        return Answer(status=recorded.status, body=body)


Deviations = Mapping[tuple[int, str, str], Deviation]


@dataclass(frozen=True)
class Observed:
    """The server's answer; of several requests, the last."""

    status: int
    body: Any
    text: str
    all_statuses: Sequence[int]


@dataclass(frozen=True)
class Failure:
    step: str
    request: str
    answer: str
    differences: Sequence[str]

    def __str__(self) -> str:
        lines = [f"{self.step}: {self.request}", *(f"    {line}" for line in self.differences)]
        return "\n".join([*lines, f"    the answer was {self.answer}"])


def load_scenarios(folder: Path = HERE / "scenarios") -> list[Scenario]:
    """Returns all scenarios: first those that need an empty database, last those that use up a rate limit."""
    scenarios = [
        Scenario(**{**node, "steps": [Step.read(step) for step in node["steps"]]})
        for path in sorted(folder.glob("*.yaml"))
        for node in read_yaml(path)["scenarios"]
    ]
    return sorted(scenarios, key=lambda scenario: (scenario.last, not scenario.fresh))


def load_deviations(scenarios: Iterable[Scenario], path: Path = HERE / "deviations.yaml") -> Deviations:
    """Returns all deviations. A case without `generations` applies to those that have the step."""
    steps = {(s.name, step.name): step for s in scenarios for step in s.steps}
    deviations: dict[tuple[int, str, str], Deviation] = {}
    for topic in read_yaml(path):
        for case in topic["cases"]:
            answer = Answer.read(case["answer"]) if "answer" in case else None
            deviation = Deviation(topic["reason"], answer, case.get("but", {}))
            for name in case["steps"]:
                recorded = steps[case["scenario"], name].answers
                for generation in case.get("generations", recorded):
                    key = generation, case["scenario"], name
                    if generation not in recorded or key in deviations:
                        raise ValueError(f"no such step, or a second deviation of it: {key}")
                    deviations[key] = deviation
    return deviations


# --- sending a request


def encode_multipart(spec: Mapping[str, Any]) -> tuple[bytes, str]:
    boundary = "----legacy-replay"
    parts = []
    for name, value in spec.get("fields", {}).items():
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}')
    for file in spec.get("files", []):
        head = f'Content-Disposition: form-data; name="file"; filename="{file["filename"]}"'
        if "type" in file:
            head += f"\r\nContent-Type: {file['type']}"
        parts.append(f"{head}\r\n\r\n{'x' * file['size'] if 'size' in file else file['text']}")
    text = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    return text.encode(), f"multipart/form-data; boundary={boundary}"


def encode_body(options: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    """Returns the body and its content type."""
    kind = next((key for key in BODIES if key in options), None)
    if kind is None:
        return None, None
    value = render(options[kind], variables)
    if kind == "multipart":
        return encode_multipart(value)
    if kind == "form":
        return str(httpx.QueryParams(value)).encode(), "application/x-www-form-urlencoded"
    if "pad" in options:
        value = {**value, options["pad"]["key"]: variables["pad"]}
    text = json.dumps(value, ensure_ascii=False) if kind == "json" else str(value)
    return text.encode(), "application/json"


def sign(options: Mapping[str, Any], variables: dict[str, Any]) -> None:
    """Sets `ts` and `sig`: the HMAC-SHA256 of "<token>.<ts>", keyed with the token."""
    spec = render(options["sign"], variables)
    token, variables["ts"] = str(spec["token"]), spec["ts"]
    signature = hmac.new(token.encode(), f"{token}.{spec['ts']}".encode(), hashlib.sha256).hexdigest()
    variables["sig"] = signature.upper() if spec.get("mode") == "upper" else signature


@dataclass
class Runner:
    """Runs the steps of one scenario in order."""

    client: httpx.AsyncClient
    base_url: Mapping[str, str]
    generation: int
    scenario: Scenario
    deviations: Deviations

    def __post_init__(self) -> None:
        self.variables: dict[str, Any] = {"run": f"r{secrets.token_hex(4)}"}
        for name, value in self.scenario.vars.items():
            self.variables[name] = render(value, self.variables)
        self.matcher = Matcher(self.variables)

    async def failures(self) -> list[Failure]:
        found = []
        for step in self.scenario.steps_of(self.generation):
            observed = await self.run(step)
            if differences := self.judge(step, observed):
                request = f"{step.method} {render(step.path, self.variables)}"
                if sent := next((step.options[key] for key in BODIES if key in step.options), None):
                    request += f" {short(sent)}"
                answer = f"{observed.status} {short(observed.text, 600)}"
                found.append(Failure(step.name, request, answer, differences))
        return found

    async def run(self, step: Step) -> Observed:
        options = step.options
        await asyncio.sleep(options.get("sleep", 0))
        if "sign" in options:
            sign(options, self.variables)
        if "pad" in options:
            self.variables["pad"] = "x" * options["pad"]["size"]
        if "parallel" in options:
            responses = await asyncio.gather(*(self.send(step, i) for i in range(options["parallel"])))
        else:
            responses = [await self.send(step, i) for i in range(options.get("repeat", 1))]
        response = responses[-1]
        body = read_json(response)
        if "project" in options:
            project(body, render(options["project"], self.variables))
        for name, path in options.get("save", {}).items():
            value = dig(body, path)
            self.variables[name] = None if value is MISSING else value
        return Observed(response.status_code, body, response.text, [r.status_code for r in responses])

    async def send(self, step: Step, i: int) -> httpx.Response:
        variables = {**self.variables, "i": i}
        body, content_type = encode_body(step.options, variables)
        headers = render(step.options.get("headers", {}), variables)
        content_type = step.options.get("type", content_type)
        if content_type is not None:
            headers["Content-Type"] = content_type
        if step.options.get("gzip") and body is not None:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        if self.generation == 2:
            address = ".".join(str(random.randint(1, 254)) for _ in range(4))
            headers.setdefault("CF-Connecting-IP", address)
        service = step.options.get("service", self.scenario.service)
        url = self.base_url.get(service, self.base_url["all"]) + render(step.path, variables)
        wire = [(name.encode(), str(value).encode()) for name, value in headers.items()]
        return await self.client.request(step.method, url, content=body, headers=wire)

    def judge(self, step: Step, observed: Observed) -> list[str]:
        """Returns the differences from the expected answer; a deviation that equals the record counts as one."""
        recorded = step.answers[self.generation]
        deviation = self.deviations.get((self.generation, self.scenario.name, step.name))
        if deviation is None:
            return self.differences(step, recorded, observed) + self.broken_rules(step, observed)
        usable = recorded.status is not None or recorded.statuses is not None
        if usable and not self.differences(step, recorded, observed) + self.broken_rules(step, observed):
            return ["this is what the legacy server answered: remove the entry from deviations.yaml"]
        rules = [] if deviation.answer else self.broken_rules(step, observed)
        return self.differences(step, deviation.expected(recorded), observed) + rules

    def differences(self, step: Step, expected: Answer, observed: Observed) -> list[str]:
        if wrong := status_differences(expected, observed):
            return wrong
        if expected.body is MISSING:
            return []
        if observed.body is MISSING:
            return ["the body is not JSON"]
        if step.options.get("compare") == "types":
            return type_differences(expected.body, observed.body)
        return self.matcher.differences(expected.body, observed.body, step.options.get("unordered", ()))

    def broken_rules(self, step: Step, observed: Observed) -> list[str]:
        """The step's `assert`: what a field must or must not be, independent of the record."""
        broken = []
        for rule in render(step.options.get("assert", []), self.variables):
            value = dig(observed.body, rule["path"])
            if value != rule.get("equals", value):
                broken.append(f"{rule['path']} is {short(value)}, expected {short(rule['equals'])}")
            if value == rule.get("not_equals", MISSING):
                broken.append(f"{rule['path']} must not be {short(value)}")
        return broken


def status_differences(expected: Answer, observed: Observed) -> list[str]:
    statuses = observed.all_statuses
    if max(statuses) >= 500:
        return [f"the status is {max(statuses)}, which the server must never answer"]
    counted = Counter(statuses)
    if expected.statuses is not None and counted != expected.statuses:
        return [f"the statuses are {dict(counted)}, expected {expected.statuses}"]
    runs = [[status, len(list(group))] for status, group in groupby(statuses)]
    if expected.runs is not None and runs != expected.runs:
        return [f"the statuses are {runs}, expected {expected.runs}"]
    if expected.status is not None and expected.status != observed.status:
        return [f"the status is {observed.status}, expected {expected.status}"]
    return []


def read_json(response: httpx.Response) -> Any:
    if "json" not in response.headers.get("content-type", "") or not response.content:
        return MISSING
    return response.json()


def project(body: Any, spec: Mapping[str, Any]) -> None:
    """Keeps only the entries of a list that belong to the scenario."""
    entries = MISSING if body is MISSING else dig(body, spec["path"])
    if isinstance(entries, list):
        wanted = {str(value) for value in spec["in"]}
        entries[:] = [entry for entry in entries if str(entry.get(spec["key"])) in wanted]


def replay(
    scenario: Scenario,
    generation: int,
    base_url: Mapping[str, str],
    deviations: Deviations,
    headers: Mapping[str, str] | None = None,
) -> list[Failure]:
    """Runs a scenario, with more headers. `base_url` maps a service to its server; `all` is that of all others."""

    async def run() -> list[Failure]:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(timeout=60, limits=limits, headers=headers) as client:
            return await Runner(client, base_url, generation, scenario, deviations).failures()

    return asyncio.run(run())
