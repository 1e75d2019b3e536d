"""Scores of every labelled object, and their summary by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from crisp.evaluate.score_figures import figures
from crisp.evaluate.score_rows import ObjectScore, Summary, Surplus


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
        frames = np.array([row.frame_id for row in rows]) if intervals else None
        surplus = [one for one in self.surplus if group in ("all", one.kind, one.name)]
        found = tuple(figures(rows, self.settings["protocols"], frames=frames, surplus=surplus))
        return Summary(group, len(rows), sum(row.T_camera_object is None for row in rows), found)
