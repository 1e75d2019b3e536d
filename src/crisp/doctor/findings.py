"""What a check says: one sentence each, about one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from crisp.errors import InputError

Level = Literal["found", "note", "fault"]
MOST_ALIKE = 10

Value = TypeVar("Value")


@dataclass(frozen=True)
class Finding:
    """One sentence.

    Args:
        level: "found" for what is there, "note" for what is good to know, "fault" for what is wrong or gone.
        check: which check says it, such as "depth against mesh".
    """

    level: Level
    check: str
    sentence: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which they were made."""

    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong or missing."""
        return tuple(finding for finding in self.findings if finding.level == "fault")

    def lines(self, most_alike: int = MOST_ALIKE) -> list[str]:
        """For a terminal: of one check and level at most so many, and how many more there are."""
        shown: Counter[tuple[Level, str]] = Counter()
        lines = []
        for finding in self.findings:
            kind = finding.level, finding.check
            shown[kind] += 1
            if shown[kind] <= most_alike:
                lines.append(f"{finding.level}: {finding.check}: {finding.sentence}")
        for (level, check), count in shown.items():
            if count > most_alike:
                lines.append(f"{level}: {check}: and {count - most_alike} more.")
        return lines


def attempt(check: str, work: Callable[[], Value], findings: list[Finding]) -> Value | None:
    """What `work` gives; None where it fails on bad input, whose sentence becomes a fault."""
    try:
        return work()
    except InputError as error:
        findings.append(Finding("fault", check, str(error)))
        return None


def summary(diagnosis: Diagnosis) -> str:
    """The last line: whether all is well."""
    count = len(diagnosis.faults)
    return "no fault found." if count == 0 else f"{count} fault{'s' * (count > 1)} found."


def spread(items: Sequence[Value], most: int) -> list[Value]:
    """At most so many, evenly over all, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]
