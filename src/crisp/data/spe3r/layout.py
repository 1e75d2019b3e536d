"""SPE3R's layout: satellites of unit size, one an image."""

from __future__ import annotations

from crisp.data.layout import Conventions, Layout, Size, Writing
from crisp.data.spe3r.reader import Spe3rDataset
from crisp.data.spe3r.writer import Role, SatelliteScenes, image_numbers, role_of, spe3r_camera
from crisp.errors import InputError


def _role(split: str) -> Role:
    return "test" if split == "test" else "train"


def _check(split: str, size: Size) -> None:
    if split not in ("train", "test"):
        raise InputError(f"with layout spe3r the split must be train or test, got {split!r}.")


LAYOUT = Layout(
    name="spe3r",
    title="SPE3R",
    marks="splits.csv",
    recognises=lambda root: (root / "splits.csv").is_file(),
    splits=lambda root: ("train", "validation", "test"),
    reader=Spe3rDataset,
    conventions=Conventions(unit="metre"),
    writing=Writing(
        lambda root, split, models: SatelliteScenes(root, _role(split), models),
        scene="space",
        check=_check,
        camera=lambda split, size: spe3r_camera(),
        members=lambda split, count: [n for n in range(count) if role_of(n + 1, count) == _role(split)],
        image_numbers=lambda split, count: image_numbers(count, _role(split)),
    ),
)
