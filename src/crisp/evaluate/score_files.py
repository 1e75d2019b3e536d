"""Scores of every labelled object, their summary by group, and the files of both.

`scores.json` has all, `scores.md` the tables, `scores.csv` the objects; BOP's results CSV stands beside them.

In JSON and CSV an infinite error (no estimate) is null or empty, because neither has a number for it.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from crisp.documents import read_json
from crisp.errors import InputError
from crisp.evaluate.metrics import metrics_named
from crisp.evaluate.metrics.metric import Figure, Metric, ObjectScore, Scored, Summary, Surplus
from crisp.files import finite, write_whole
from crisp.output.bop_csv import BopEstimate, bop_csv, file_name


@dataclass(frozen=True, eq=False)
class Scores:
    """What `score` found. `summaries` begins with all objects, then kinds, then names where they differ.

    Args:
        surplus: estimates from a detector's masks that are of no label; in groups of names those of which the
            detector names the object.
    """

    crisp_version: str
    model_name: str
    results_sha256: str
    settings: Mapping[str, Any]
    objects: tuple[ObjectScore, ...]
    surplus: tuple[Surplus, ...] = ()

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """By group; intervals for all objects together."""
        groups: dict[str, list[ObjectScore]] = {}
        for row in self.objects:
            groups.setdefault(row.kind, []).append(row)
        names = {row.name for row in self.objects} - set(groups)
        by_name = {name: [row for row in self.objects if row.name == name] for name in sorted(names)}
        ordered = {kind: groups[kind] for kind in sorted(groups)} | by_name
        whole = self._summary("all", list(self.objects), intervals=True)
        return (whole, *(self._summary(group, rows, intervals=False) for group, rows in ordered.items()))

    def summary(self, group: str = "all") -> Summary:
        """One group's.

        Raises:
            KeyError: there is no such group.
        """
        return {summary.group: summary for summary in self.summaries}[group]

    def _summary(self, group: str, rows: list[ObjectScore], *, intervals: bool) -> Summary:
        surplus = [one for one in self.surplus if group in ("all", one.kind, one.name)]
        found: list[Figure] = []
        for name, metric in metrics_named(self.settings["protocols"]).items():
            scored = _scored(name, rows, surplus, intervals=intervals)
            figures = metric.figures(scored) if scored.objects else ()
            found += [replace(figure, protocol=name) for figure in figures]
        return Summary(group, len(rows), sum(row.T_camera_object is None for row in rows), tuple(found))


def _scored(
    name: str, rows: Sequence[ObjectScore], surplus: Sequence[Surplus], *, intervals: bool
) -> Scored[Any]:
    """What one metric summarises: those of the objects that are its targets."""
    targets = [row for row in rows if row.errors[name] is not None]
    return Scored(
        objects=targets,
        errors=[row.errors[name] for row in targets],
        surplus=[(one, one.said[name]) for one in surplus],
        intervals=intervals,
    )


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Scores that are there already must have been made with the same settings.

    Raises:
        InputError: they were not.
    """
    path = folder / "scores.json"
    if not path.is_file():
        return
    old = read_json(path).get("settings", {})
    changed = [key for key in {**old, **settings} if old.get(key) != settings.get(key)]
    if changed:
        key = changed[0]
        raise InputError(
            f"{path} was made with {key} = {old.get(key)} and not {settings.get(key)}: "
            "choose another folder, or remove the file."
        )


def write_scores(scores: Scores, folder: Path) -> None:
    """Write all four files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    bop = file_name(scores.settings["dataset"], scores.settings["split"])
    content = {
        "scores.csv": _objects_csv(scores),
        bop: bop_csv(_bop_estimates(scores)),
        "scores.md": markdown(scores),
        "scores.json": json.dumps(_json(scores), indent=1, allow_nan=False) + "\n",
    }
    for name, text in content.items():
        write_whole(folder / name, text)


def _bop_estimates(scores: Scores) -> list[BopEstimate]:
    """All estimates, also those that are of no label; what the data set has no id for is left out."""
    rows: list[ObjectScore | Surplus] = [*scores.objects, *scores.surplus]
    return [
        BopEstimate(row.frame_id, row.object_id, row.confidence, row.T_camera_object, row.frame_seconds)
        for row in rows
        if row.T_camera_object is not None and row.object_id is not None
    ]


def markdown(scores: Scores) -> str:
    """For each protocol one table of all objects with intervals and one of the groups; then the settings."""
    whole = scores.summaries[0]
    lines = [
        f"# Scores of {scores.model_name} on {scores.settings['dataset']}/{scores.settings['split']}",
        "",
        f"{whole.count} labelled objects, {whole.failed} without an estimate (their errors are infinite). "
        "Intervals: 95 %, bootstrap over frames." + _surplus(scores),
        "",
    ]
    for protocol in scores.settings["protocols"]:
        lines += _section(protocol, scores.summaries)
    lines.append("Settings: " + ", ".join(f"{key} = {value}" for key, value in scores.settings.items()) + ".")
    return "\n".join(lines) + "\n"


def _surplus(scores: Scores) -> str:
    count = len(scores.surplus)
    return f" {count} estimates are of no label: bop and nocs-map count them." if count else ""


def _section(protocol: str, summaries: Sequence[Summary]) -> list[str]:
    figures = [figure for figure in summaries[0].figures if figure.protocol == protocol]
    names = [figure.name for figure in figures]
    return [
        f"## {protocol}",
        "",
        "| figure | all | 95 % |",
        "|---|--:|--:|",
        *(f"| {f.name} | {_text(f.value)} | {_interval(f)} |" for f in figures),
        "",
        "| group | objects | failed | " + " | ".join(names) + " |",
        "|---|" + "--:|" * (2 + len(names)),
        *(_group_row(summary, names) for summary in summaries),
        "",
    ]


def _group_row(summary: Summary, names: Sequence[str]) -> str:
    found = [summary.figure(name) for name in names]
    values = " | ".join("" if figure is None else _text(figure.value) for figure in found)
    return f"| {summary.group} | {summary.count} | {summary.failed} | {values} |"


def _text(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "∞"


def _interval(figure: Figure) -> str:
    return "" if figure.interval is None else " to ".join(map(_text, figure.interval))


def _objects_csv(scores: Scores) -> str:
    rows = _flat(scores)
    names = list(dict.fromkeys(name for row in rows for name in row))  # no target of a metric: fewer columns
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _flat(scores: Scores) -> list[dict[str, Any]]:
    """One entry for each object, with the columns of the metrics that were asked for."""
    metrics = metrics_named(scores.settings["protocols"])
    return [_flat_object(row, metrics) for row in scores.objects]


def _flat_object(row: ObjectScore, metrics: Mapping[str, Metric[Any]]) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "frame_id": row.frame_id,
        "detection": row.detection,
        "object_id": row.object_id,
        "name": row.name,
        "kind": row.kind,
        "visib_fract": finite(row.visib_fract),
        "status": row.status,
        "certified": row.certified,
    }
    for name, metric in metrics.items():
        if (error := row.errors[name]) is not None:
            flat |= {column: finite(value) for column, value in metric.columns(error).items()}
    return flat


def _json(scores: Scores) -> dict[str, Any]:
    return {
        "crisp_version": scores.crisp_version,
        "model": scores.model_name,
        "results_sha256": scores.results_sha256,
        "settings": dict(scores.settings),
        "summaries": [_summary_json(summary) for summary in scores.summaries],
        "objects": _flat(scores),
        "surplus_estimates": len(scores.surplus),
    }


def _summary_json(summary: Summary) -> dict[str, Any]:
    figures = {
        f.name: {"value": finite(f.value), "protocol": f.protocol}
        | ({} if f.interval is None else {"interval": finite(f.interval)})
        for f in summary.figures
    }
    return {"group": summary.group, "count": summary.count, "failed": summary.failed, "figures": figures}
