"""The command line: finds the verb, runs it, and turns what goes wrong into one sentence and an exit code.

A verb is a record in a file of its own: its fields are the options, `run` does it and returns the exit code.
Nothing heavy is imported before a verb runs.

Exit codes: 0 done, whatever the method itself says of objects; 2 an input was wrong or something could not be
read or written (what could be done is done); 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

from crisp.errors import InputError

USAGE = "usage: crisp VERB [options]    (crisp VERB --help explains each; crisp --version)"
DEBUG = "CRISP_TRACEBACK"
"""Environment variable: where it is set, a fault of the program shows where it happened."""


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Args:
        place: module and name of its record, a dataclass with a method `run` that returns the exit code.
        says: what it does, in one line.
    """

    place: str
    says: str

    def settings(self) -> Any:
        """The record, as `tyro` builds it from the command line: options of parts stand beside the others."""
        import tyro

        marked: Any = tyro.conf.OmitArgPrefixes
        return marked[resolve_name(self.place)]


VERBS = {
    "demo": Verb(
        "crisp.cli.demo:Demo", "Render a scene, estimate its objects, score them, show it on a page."
    ),
    "estimate": Verb("crisp.cli.estimate:Estimate", "Pose and shape of objects in a frame or a data set."),
    "synthesise": Verb("crisp.cli.synthesise:Synthesise", "Render a data set (BOP, SPE3R or NOCS)."),
    "train": Verb("crisp.cli.train:Train", "Train a model on a data set; run again to go on."),
    "adapt": Verb("crisp.cli.adapt:Adapt", "Adapt a model to frames without labels; run again to go on."),
    "evaluate predict": Verb("crisp.cli.estimate:Predict", "Estimate a whole split into a file."),
    "evaluate score": Verb("crisp.cli.score:Score", "Score that file against the labels."),
    "evaluate table": Verb("crisp.cli.table:Table", "Print a table of the paper with our scores beside it."),
    "evaluate figure": Verb(
        "crisp.cli.figure:Figure", "Draw figure 11, 12 or 13 of the paper from our results."
    ),
    "calibrate": Verb("crisp.cli.calibrate:Calibrate", "Find the bounds of a model's certificate."),
    "doctor": Verb("crisp.cli.doctor:Doctor", "Check a data set or a frame before anything runs on it."),
    "info": Verb("crisp.cli.info:Info", "Version, devices, bundled models and their checksums."),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `crisp`."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # our own bars are enough
    try:
        code = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except InputError as error:
        code = _refuse(str(error))
    except KeyboardInterrupt:
        print("crisp: interrupted; what was finished is kept.", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        code = _refuse(f"{error.filename or 'the system'}: {error.strerror or error}.")
    except Exception as error:
        if DEBUG in os.environ:
            raise
        said = " ".join(str(error).split())
        code = _refuse(
            f"a fault of the program, please report it: {type(error).__name__}: {said} "
            f"({DEBUG}=1 shows where)."
        )
    sys.exit(code)


def _refuse(sentence: str) -> int:
    print(f"crisp: {sentence}", file=sys.stderr)
    return 2


def _dispatch(given: list[str]) -> int:
    """Run the verb that is named; print what was asked about the command itself."""
    if given[:1] == ["help"]:
        given = [*given[1:], "--help"]
    if given in (["--version"], ["-V"]):
        import crisp

        print(f"crisp {crisp.__version__}")
        return 0
    if not given or given[0] in ("-h", "--help"):
        print(overview())
        return 0
    if _is_group(given[0]) and (len(given) == 1 or given[1] in ("-h", "--help")):
        print(overview(given[0]))
        return 0 if len(given) > 1 else 2
    name, options = _verb_of(given)
    from crisp.cli.parse import parse

    return parse(VERBS[name].settings(), options, name=name, says=VERBS[name].says).run()


def overview(group: str = "") -> str:
    """The verbs, one a line; only those of a group where one is named."""
    shown = {name: verb for name, verb in VERBS.items() if not group or name.startswith(f"{group} ")}
    return "\n".join([USAGE, "", *(f"  {name:18} {verb.says}" for name, verb in shown.items())])


def _is_group(word: str) -> bool:
    return any(name.startswith(f"{word} ") for name in VERBS)


def _verb_of(given: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that is named, and the options after it."""
    words = 2 if _is_group(given[0]) else 1
    name = " ".join(given[:words])
    if name not in VERBS:
        near = get_close_matches(name, VERBS, n=1)
        hint = f"the nearest is '{near[0]}'." if near else f"choose one of {', '.join(VERBS)}."
        raise InputError(f"there is no verb '{name}': {hint}")
    return name, list(given[words:])
