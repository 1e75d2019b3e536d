"""Whether two checkouts give the same answers: the demo scene and real frames, with every corrector setting.

Statuses, labels and certificates must be equal, poses within 1e-5 m and 1e-3 degrees. Every exception is
listed with both answers. Settings that take seconds per object run on few objects (`both_sides.chosen`).
Each side runs in its own process, on one thread, through the public interface; its answers are cached, so
that the older side runs only once.

    python -m experiments.support.same_answers --before CHECKOUT --data DIR [--after CHECKOUT] [--side before]
    python -m experiments.support.same_answers --before CHECKOUT --data DIR --quick

A side takes half an hour on one core. `--side after --models bundled` and the same with `ycbv-small` can fill
the cache next to each other; after that the comparison takes seconds.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.support.both_sides import Shot, Side, settings_of, shots
from experiments.support.evidence import Claim, write_evidence

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "results"
MODELS = ("bundled", "ycbv-small")
POSE_M, POSE_DEG = 1e-5, 1e-3
MESH_SHARE = 1e-4  # of a mesh's diameter
MOST = "<= 0.01"
WIDTH = 110  # also where the output goes to a file
KINDS = {
    "answer": "one side refuses, or gives another number of answers",
    "status": "another status",
    "label": "another label",
    "certified": "a certificate is given, withheld or missing on one side alone",
    "reasons": "other reasons, or other figures in them, why it is not certified",
    "words": "the same reasons in other words",
    "pose": f"poses further apart than {POSE_M:g} m or {POSE_DEG:g} degrees, or on one side alone",
    "mesh": f"meshes whose diameters differ by more than {MESH_SHARE:g}, or on one side alone",
}
Answers = Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Difference:
    """One way in which one object's answers differ; `kind` is one of KINDS."""

    model: str
    setting: str
    frame: str
    detection: int
    kind: str
    before: str
    after: str


@dataclass(frozen=True)
class Compared:
    """All objects of one model and setting.

    Args:
        apart_m, apart_deg: the largest distances of two poses.
        refused: why both sides refuse this setting, where they do.
        seconds: that each side took, before and after.
    """

    model: str
    setting: str
    objects: int
    apart_m: float
    apart_deg: float
    differences: tuple[Difference, ...]
    refused: str | None
    seconds: tuple[float, float]

    @property
    def exceptions(self) -> int:
        """Objects that differ in more than the wording of their messages."""
        return len({(d.frame, d.detection) for d in self.differences if d.kind != "words"})


def main() -> None:
    options = parser().parse_args()
    if set(options.models) < set(MODELS) and len(options.side) > 1:
        parser().error("fewer --models fill the cache of one --side; the comparison is of all models.")
    start = time.perf_counter()
    options.cache.mkdir(parents=True, exist_ok=True)
    given = shots(options.data, options.cache, before=options.before)
    settings = ["own", "none"] if options.quick else settings_of(options.before)
    sides = [Side.of(getattr(options, side), options.cache) for side in options.side]
    found = [side.answer_all(options.models, settings, given) for side in sides]
    for side, answers in zip(sides, found, strict=True):
        print(f"{side.commit}: {seconds_of(answers.values()):.0f} s in {side.folder.name}")
    if len(sides) < 2:
        return
    compared = [compare(key, found[0][key], found[1][key]) for key in found[0]]
    print_table(compared)
    write_evidence(
        "support.same_answers",
        claims_of(compared),
        settings=described(compared, sides, given),
        seconds=time.perf_counter() - start,
        folder=RESULTS,
        quick=options.quick,
    )


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--before", type=Path, required=True, help="the older checkout")
    found.add_argument("--after", type=Path, default=ROOT, help="the newer one; this, unless given")
    found.add_argument("--data", type=Path, required=True, help="real frames (experiments.real_frames)")
    found.add_argument("--cache", type=Path, default=ROOT / ".cache" / "same_answers", help="answers so far")
    found.add_argument("--side", nargs="+", choices=("before", "after"), default=("before", "after"))
    found.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="with one --side")
    found.add_argument("--quick", action="store_true", help="only the settings own and none")
    return found


def compare(
    key: tuple[str, str], before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> Compared:
    """Two sides' answers to the same frames with one model and setting."""
    differences: list[Difference] = []
    apart, objects = [(0.0, 0.0)], 0
    for frame, old in before.items():
        new = after[frame]
        pairs = list(zip(old.get("objects", []), new.get("objects", []), strict=False))
        counts = [len(said.get("objects", [])) for said in (old, new)]
        if ("refused" in old) != ("refused" in new) or counts[0] != counts[1]:
            texts = [said.get("refused") or f"{len(said['objects'])} answers" for said in (old, new)]
            unpaired = range(len(pairs), max(counts))
            differences += [Difference(*key, frame, number, "answer", *texts) for number in unpaired]
        objects += max(counts)
        for number, (one, other) in enumerate(pairs):
            found = differing(one, other)
            differences += [Difference(*key, frame, number, kind, *pair) for kind, pair in found.items()]
            apart.append(pose_distance(one["T_camera_object"], other["T_camera_object"]) or (0.0, 0.0))
    refused = [said.get("refused") for side in (before, after) for said in side.values()]
    return Compared(
        *key,
        objects=objects,
        apart_m=max(m for m, _ in apart),
        apart_deg=max(deg for _, deg in apart),
        differences=tuple(differences),
        refused=refused[0] if all(refused) else None,
        seconds=(seconds_of([{key: before}]), seconds_of([{key: after}])),
    )


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """By kind, what one object's two answers say."""
    found = {
        kind: (str(one[kind]), str(other[kind]))
        for kind in ("status", "label", "certified")
        if one[kind] != other[kind]
    }
    reasons, others = one["reasons"] or [], other["reasons"] or []
    if reasons != others:
        alike = sorted(map(figures, reasons)) == sorted(map(figures, others))
        found["words" if alike else "reasons"] = (" ".join(reasons), " ".join(others))
    poses = one["T_camera_object"], other["T_camera_object"]
    apart = pose_distance(*poses)
    if apart is None and any(poses):
        found["pose"] = (str(poses[0] is not None), str(poses[1] is not None))
    elif apart is not None and not (apart[0] <= POSE_M and apart[1] <= POSE_DEG):  # nor where one is NaN
        found["pose"] = ("at its place", f"{apart[0]:.3g} m and {apart[1]:.3g} degrees from it")
    sizes = one["diameter_m"] or 0.0, other["diameter_m"] or 0.0
    if not abs(sizes[0] - sizes[1]) <= MESH_SHARE * max(sizes):
        found["mesh"] = (f"{sizes[0]:.6f} m", f"{sizes[1]:.6f} m")
    return found


def figures(sentence: str) -> list[str]:
    """The numbers in a sentence."""
    return sorted(re.findall(r"\d+(?:\.\d+)?", sentence))


def pose_distance(one: Any, other: Any) -> tuple[float, float] | None:
    """Metres and degrees between two poses; None where one is missing."""
    if one is None or other is None:
        return None
    T, S = np.array(one), np.array(other)
    chord = np.linalg.norm(T[:3, :3] - S[:3, :3]) / (2 * np.sqrt(2))  # exact for tiny turns, too
    return float(np.linalg.norm(T[:3, 3] - S[:3, 3])), float(np.degrees(2 * np.arcsin(min(chord, 1.0))))


def seconds_of(answers: Iterable[Any]) -> float:
    """That frames took, of mappings by frame or of mappings of these."""
    total = 0.0
    for said in answers:
        total += said["seconds"] if "seconds" in said else seconds_of(said.values())
    return total


def claims_of(compared: Sequence[Compared]) -> list[Claim]:
    """Exceptions in all and of each kind, and each setting's own."""
    ran = [item for item in compared if item.refused is None]
    objects = sum(item.objects for item in ran)
    counts = Counter(d.kind for item in ran for d in item.differences)
    exceptions = sum(item.exceptions for item in ran)
    claims = [
        Claim("objects compared", "report", float(objects), unit="objects"),
        Claim("share of them with another answer", MOST, exceptions / max(objects, 1), unit="share"),
        *(
            Claim(what, "report" if kind == "words" else MOST, counts[kind] / max(objects, 1), unit="share")
            for kind, what in KINDS.items()
        ),
        Claim("largest distance of two poses", "report", max(item.apart_m for item in ran), unit="m"),
        Claim("largest turn of two poses", "report", max(item.apart_deg for item in ran), unit="degrees"),
    ]
    claims += [
        Claim(
            f"{item.model}, {item.setting}: share of {item.objects} objects with another answer",
            MOST,
            item.exceptions / max(item.objects, 1),
            unit="share",
        )
        for item in ran
    ]
    for number, side in enumerate(("before", "after")):
        minutes = sum(item.seconds[number] for item in compared) / 60
        claims.append(Claim(f"time of the side {side}, one thread", "report", minutes, unit="minutes"))
    return claims


def described(compared: Sequence[Compared], sides: Sequence[Side], given: Sequence[Shot]) -> dict[str, Any]:
    """What the figures depend on, and all exceptions: those of one kind and in the same words together."""
    return {
        "before": sides[0].commit,
        "after": sides[1].commit,
        "models": MODELS,
        "settings": sorted({item.setting for item in compared}),
        "refused_by_both": {f"{c.model}, {c.setting}": c.refused for c in compared if c.refused is not None},
        "frames": [shot.name for shot in given],
        "threads": 1,
        "exceptions": grouped(d for item in compared for d in item.differences),
    }


def grouped(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    """Differences that read the same but for figures, with one of them in full and the places of all."""
    found: dict[tuple[str, ...], list[Difference]] = {}
    for item in differences:
        texts = (re.sub(r"[\d.]+(e-\d+)?", "#", text) for text in (item.before, item.after))
        found.setdefault((item.kind, item.model, item.setting, *texts), []).append(item)
    return [
        asdict(items[0])
        | {"count": len(items), "places": [f"{item.frame} {item.detection}" for item in items]}
        for items in sorted(found.values(), key=len, reverse=True)
    ]


def print_table(compared: Sequence[Compared]) -> None:
    table = Table(title="before against after", title_justify="left")
    for column in ("model", "setting", "objects", "exceptions", "m", "degrees", "s before", "s after"):
        table.add_column(column, no_wrap=True)
    for item in compared:
        figures = (str(item.exceptions), f"{item.apart_m:.1e}", f"{item.apart_deg:.1e}")
        shown = figures if item.refused is None else ("cannot run", "", "")
        seconds = (f"{value:.0f}" for value in item.seconds)
        table.add_row(item.model, item.setting, str(item.objects), *shown, *seconds)
    console = Console(width=WIDTH)
    console.print(table)
    for group in grouped(d for item in compared for d in item.differences):
        where = f"{group['model']}, {group['setting']}, first of {group['count']}: {group['places'][0]}"
        console.print(f"{group['kind']} ({where})\n  before: {group['before']}\n  after:  {group['after']}")


if __name__ == "__main__":
    main()
