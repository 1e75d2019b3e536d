"""Write the evidence into the tables of README.md and docs/, and all claims into docs/evidence.csv.

    python scripts/evidence_table.py            # rewrite the tables and the list
    python scripts/evidence_table.py --check    # exit code 1 if one differs from the evidence

A table is between two comments; the first names its files, and which of their claims (from 1) it shows:

    <!-- evidence:begin experiments/results/held_out.json#1,4-6 benchmarks/results/*.json -->
    <!-- evidence:end -->

Without `#` all claims are shown. One claim may be shown as the answer to a question:

    <!-- evidence:begin
    experiments/results/held_out.json#4="How accurate is the pose on scenes that it has not seen?"
    -->

The question then replaces the claim's text, and shares are given in per cent. A file that does not exist
yet gets a row that says so. Patterns and the list leave out runs with --quick (`*_quick.json`). Figures are
rounded to three significant digits, whole numbers are not rounded; whether a goal is met is taken from the
evidence file, which compares the unrounded figure.
"""

from __future__ import annotations

import argparse
import csv
import io
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
SOURCE = re.compile(r'([^\s="]+)(?:="([^"]*)")?(?:\s+|$)')
LARGEST_INTEGER = 1e6
COLUMNS = ("file", "number", "claim", "goal", "figure", "unit", "low", "high", "met")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; say what would change")
    check = parser.parse_args().check
    stale = []
    for page in [*pages(ROOT), listing_path(ROOT)]:
        old = page.read_text(encoding="utf-8") if page.is_file() else ""
        new = regenerated(old, page) if page.suffix == ".md" else listing(ROOT)
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


def listing_path(root: Path) -> Path:
    """The list of all claims."""
    return root / "docs" / "evidence.csv"


def listing(root: Path) -> str:
    """Every claim of every evidence file as a line of CSV; figures are rounded as in the tables."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for folder in ("experiments", "benchmarks"):
        for path in sorted(root.glob(f"{folder}/results/*.json")):
            if not path.stem.endswith("_quick"):
                writer.writerows(_lines(path))
    return text.getvalue()


def _lines(path: Path) -> Iterator[list[str]]:
    for number, claim in enumerate(json.loads(path.read_text(encoding="utf-8"))["claims"], start=1):
        low, high = ("", "") if claim["interval"] is None else map(figure_text, claim["interval"])
        goal = "" if claim["goal"] == "report" else claim["goal"]
        met = {True: "yes", False: "no", None: ""}[claim["passed"]]
        figure = figure_text(claim["figure"])
        yield [path.stem, str(number), claim["claim"], goal, figure, claim["unit"], low, high, met]


def regenerated(text: str, page: Path, *, root: Path = ROOT) -> str:
    """The page's text with every table written anew.

    Raises:
        ValueError: a table without sources, or a claim that an evidence file does not have.
    """

    def table(match: re.Match[str]) -> str:
        sources = SOURCE.findall(match["sources"].strip())
        if SOURCE.sub("", match["sources"].strip()):
            raise ValueError(f"{page.name}: cannot read 'evidence:begin{match['sources']}'")
        if not sources:
            raise ValueError(f"{page.name}: name the evidence files after 'evidence:begin'")
        rows = "".join(row for source in sources for row in _rows(*source, page.parent, root=root))
        return f"{match[1]}{HEAD}{rows}{match[3]}"

    return TABLE.sub(table, text)


def _rows(source: str, question: str, folder: Path, *, root: Path) -> Iterator[str]:
    pattern, _, chosen = source.partition("#")
    wild = "*" in pattern
    paths = sorted(root.glob(pattern)) if wild else [root / pattern]
    for path in paths:
        if wild and path.stem.endswith("_quick"):
            continue
        if not path.is_file():
            yield f"| {question or 'not measured yet'} |  |  |  |  | {pattern} |\n"
            continue
        claims = json.loads(path.read_text(encoding="utf-8"))["claims"]
        link = f"[{path.stem}]({Path(os.path.relpath(path, folder)).as_posix()})"
        numbers = _numbers(chosen, len(claims), path)
        if question and len(numbers) != 1:
            raise ValueError(f"'{question}' is answered by one claim, not by {len(numbers)}")
        for number in numbers:
            claim = _answer(claims[number - 1], question) if question else claims[number - 1]
            yield f"{_row(claim)} {link} #{number} |\n"


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


def _answer(claim: dict[str, Any], question: str) -> dict[str, Any]:
    """The claim under a question, a share in per cent."""
    if claim["unit"] != "share":
        return claim | {"claim": question}
    sign, goal = [*claim["goal"].split(), ""][:2]
    return claim | {
        "claim": question,
        "unit": "%",
        "figure": _percent(claim["figure"]),
        "interval": claim["interval"] and [_percent(value) for value in claim["interval"]],
        "goal": f"{sign} {_percent(float(goal)):g}" if goal else sign,
    }


def _percent(value: float | str) -> float | str:
    return value if isinstance(value, str) else round(100 * value, 9)


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
