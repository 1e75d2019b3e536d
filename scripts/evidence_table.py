"""Writes what was measured into the tables of README.md and docs/, straight from the evidence files.

    python scripts/evidence_table.py            # rewrite the tables
    python scripts/evidence_table.py --check    # exit code 1 where a table differs from its evidence

A table stands between two comments; the first names its files, and which of their claims (from 1) it shows:

    <!-- evidence:begin experiments/results/held_out.json#1,4-6 benchmarks/results/*.json -->
    <!-- evidence:end -->

Without `#` all claims are shown. A file that is named but not there yet gets a row that says so. A pattern
never shows runs with --quick (`*_quick.json`). Figures are rounded to three significant digits, whole numbers
not at all; whether a goal is met is taken from the evidence file, which compares the unrounded figure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"(<!-- evidence:begin(?P<sources>[^>]*?)-->\n).*?(<!-- evidence:end -->)", re.DOTALL)
HEAD = "| what | goal | measured | 95 % or range | goal met | source |\n|---|---|--:|---|---|---|\n"
LARGEST_INTEGER = 1e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; say what would change")
    check = parser.parse_args().check
    stale = []
    for page in pages(ROOT):
        old = page.read_text(encoding="utf-8")
        new = regenerated(old, page)
        if new != old:
            stale.append(page)
            if not check:
                _write(page, new)
    for page in stale:
        print(f"{page.relative_to(ROOT)} {'differs from its evidence' if check else 'rewritten'}")
    return 1 if check and stale else 0


def pages(root: Path) -> list[Path]:
    """The files that may hold tables."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def regenerated(text: str, page: Path, *, root: Path = ROOT) -> str:
    """The page's text with every table written anew.

    Raises:
        ValueError: a table without sources, or a claim that an evidence file does not have.
    """

    def table(match: re.Match[str]) -> str:
        sources = match["sources"].split()
        if not sources:
            raise ValueError(f"{page.name}: name the evidence files after 'evidence:begin'")
        rows = "".join(row for source in sources for row in _rows(source, page.parent, root))
        return f"{match[1]}{HEAD}{rows}{match[3]}"

    return TABLE.sub(table, text)


def _rows(source: str, folder: Path, root: Path) -> Iterator[str]:
    pattern, _, chosen = source.partition("#")
    wild = "*" in pattern
    paths = sorted(root.glob(pattern)) if wild else [root / pattern]
    for path in paths:
        if wild and path.stem.endswith("_quick"):
            continue
        if not path.is_file():
            yield f"| not measured yet |  |  |  |  | {pattern} |\n"
            continue
        claims = json.loads(path.read_text(encoding="utf-8"))["claims"]
        link = f"[{path.stem}]({Path(os.path.relpath(path, folder)).as_posix()})"
        for number in _numbers(chosen, len(claims), path):
            yield f"{_row(claims[number - 1])} {link} #{number} |\n"


def _numbers(chosen: str, count: int, path: Path) -> list[int]:
    if not chosen:
        return list(range(1, count + 1))
    numbers: list[int] = []
    for part in chosen.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    if bad := [number for number in numbers if not 1 <= number <= count]:
        raise ValueError(f"{path.name} has {count} claims, none with the number {bad[0]}")
    return numbers


def _row(claim: dict[str, Any]) -> str:
    interval = "" if claim["interval"] is None else " to ".join(figure_text(v) for v in claim["interval"])
    goal = "" if claim["goal"] == "report" else claim["goal"].replace(">=", "≥").replace("<=", "≤")
    met = {True: "yes", False: "**no**", None: ""}[claim["passed"]]
    measured = f"{figure_text(claim['figure'])} {claim['unit']}".strip()
    return f"| {claim['claim'].replace('|', '/')} | {goal} | {measured} | {interval} | {met} |"


def figure_text(value: float | str) -> str:
    """Three significant digits; whole numbers, and the words that stand for infinity in JSON, as they are."""
    if isinstance(value, str):
        return value
    if abs(value) < LARGEST_INTEGER and (float(value).is_integer() or abs(value) >= 1000):
        return f"{value:.0f}"
    return f"{value:.3g}"


def _write(page: Path, text: str) -> None:
    temporary = page.with_name(f".{page.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(page)


if __name__ == "__main__":
    sys.exit(main())
