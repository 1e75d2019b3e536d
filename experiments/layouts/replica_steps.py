"""Run commands of `crisp` in sequence, each in its own process: timed, logged, and run only once."""

from __future__ import annotations

import json
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crisp.files import write_whole

ENTRY = (sys.executable, "-c", "from crisp.cli import main; main()")


@dataclass(frozen=True)
class Step:
    """Time of one command, over all its tries.

    Args:
        command: as typed, with paths relative to the work folder.
        seconds: wall time.
        cpu_seconds: CPU time, including child processes.
        done: whether it succeeded.
    """

    command: str
    seconds: float
    cpu_seconds: float
    done: bool


class Steps:
    """A log of commands in a work folder. Finished commands are not run again; failed ones are.

    Args:
        work: the folder in which the commands run; the log is its `steps.json`.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self._path = work / "steps.json"
        work.mkdir(parents=True, exist_ok=True)

    @property
    def _steps(self) -> dict[str, Step]:
        """The steps on disk now, as another process may have finished one."""
        known = json.loads(self._path.read_text()) if self._path.exists() else {}
        return {name: Step(**entry) for name, entry in known.items()}

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._steps)

    def run(self, name: str, arguments: Sequence[str]) -> Step:
        """Run `crisp ARGUMENTS` in the work folder, unless it has been run.

        Raises:
            RuntimeError: another command of that name was run here, or the command failed.
        """
        command = shlex.join(["crisp", *arguments])
        known = self._steps.get(name, Step(command, 0.0, 0.0, done=False))
        if known.command != command:
            raise RuntimeError(f"{self._path} has '{known.command}' as {name}: remove {self.work}.")
        if known.done:
            return known
        print(f"$ {command}", flush=True)
        before, start = _children_cpu(), time.perf_counter()
        code = subprocess.run([*ENTRY, *arguments], cwd=self.work, check=False).returncode
        seconds, cpu = time.perf_counter() - start, _children_cpu() - before
        found = Step(command, known.seconds + seconds, known.cpu_seconds + cpu, done=code == 0)
        content = {k: asdict(v) for k, v in (self._steps | {name: found}).items()}
        write_whole(self._path, json.dumps(content, indent=1) + "\n")
        if code != 0:
            raise RuntimeError(f"'{command}' in {self.work} ended with {code}.")
        return found


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
