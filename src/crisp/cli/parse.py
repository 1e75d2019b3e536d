"""Words of the command line to a verb's record, by tyro; what does not fit ends in one sentence."""

from __future__ import annotations

import dataclasses
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

import tyro

from crisp.errors import InputError

# How tyro draws an error: a title, the message, and below a rule what is in --help; in a box where it can.
_SIDES = re.compile(r"^[╭│╰]|\s*[╮│╯]?$")
_RULE = re.compile(r"\s*[─-]{8,}")
_REWORDED = (
    (r"^Error parsing (--[\w-]+|[A-Z]+): (?=no type|invalid|could not)", r"\1: "),
    (r"^Error parsing [\w.-]+: ", ""),
    (r"invalid literal for int\(\) with base 10: ", "a whole number is needed, got "),
    (r"could not convert string to float: ", "a number is needed, got "),
    (r"no type matching (\S+) could be instantiated from \[(.*)\]", r"\1 is needed, got \2"),
    (r"\{None\}\|", ""),
    (r"^Missing value for argument '(.*?)'\. Expected (\d+) values?", r"\1 needs \2 value(s)"),
    (
        r"^invalid choice ('.*?') for argument '(.*?)'\. Expected one of \((.*)\)",
        r"\2 cannot be \1: choose from \3",
    ),
    (r"^Unrecognized options: (.*)", r"what is meant by \1 is not clear"),
)


def parse(record: Any, given: Sequence[str], *, name: str, says: str) -> Any:
    """Build a verb's record.

    Args:
        record: a dataclass, as `Verb.settings` gives it; options of the records in it stand beside its own.
        name: of the verb.
        says: what it does; shown with `--help`, which prints and exits.

    Raises:
        InputError: an option that does not exist, is missing or has a value of another type, or settings
            that the record refuses.
    """
    _refuse_unknown(given, sorted(_options_of(record)), name=name)
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            return tyro.cli(record, prog=f"crisp {name}", description=says, args=given)
    except SystemExit as ended:
        if not ended.code:
            raise
        raise InputError(f"{_sentence(printed.getvalue())} (see crisp {name} --help).") from None


def _refuse_unknown(given: Sequence[str], known: Sequence[str], *, name: str) -> None:
    for word in given:
        option = word.split("=")[0].replace("_", "-")
        if not option.startswith("--") or option in known or option == "--help":
            continue
        near = get_close_matches(option, known, n=1)
        hint = f"the nearest is {near[0]}." if near else f"choose from {', '.join(known) or 'none'}."
        raise InputError(f"crisp {name} has no option {option}: {hint}")


def _options_of(record: Any) -> Iterator[str]:
    """The names of a record's options and of those of the records in it."""
    kind = record if dataclasses.is_dataclass(record) else get_args(record)[0]
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _options_of(hints[field.name])
            continue
        option = field.name.replace("_", "-")
        yield f"--{option}"
        if hints[field.name] is bool:
            yield f"--no-{option}"


def _sentence(printed: str) -> str:
    """The message of tyro's error, without title, frame and what follows it; no full stop at its end."""
    lines = [_SIDES.sub("", line) for line in printed.splitlines()]
    boxed = any(sign in printed for sign in "╭─")
    message: list[str] = []
    for line in lines[1 if boxed else 2 :]:
        if _RULE.match(line) or (message and not line):
            break
        message.append(line)
    message = textwrap.dedent("\n".join(message)).splitlines()
    text = " ".join(" ".join(message).split())
    if text.startswith("Missing from"):  # below it the options, and indented further what they mean
        missing = [line.split()[0] for line in message[1:] if re.match(r" {4}\S", line)]
        return f"{', '.join(missing)} must be given"
    for pattern, words in _REWORDED:
        text = re.sub(pattern, words, text)
    return text.rstrip(".")
