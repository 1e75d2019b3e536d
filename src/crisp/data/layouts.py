"""The kinds of data sets that are known, and the door to a folder of any of them.

A new kind is one file with its `Layout`, and one line here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from crisp.errors import InputError

if TYPE_CHECKING:
    from crisp.data.dataset import Dataset
    from crisp.data.layout import Layout

# Asked in this order which of them a folder is; each module has its `LAYOUT`, imported when it is needed.
LAYOUTS = {
    "spe3r": "crisp.data.spe3r.layout",
    "nocs": "crisp.data.nocs.layout",
    "bop": "crisp.data.bop.layout",
}


def layout_named(name: str) -> Layout:
    """A layout by its name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in LAYOUTS:
        raise InputError(f"layout must be {', '.join(sorted(LAYOUTS))}, got {name!r}.")
    layout: Layout = import_module(LAYOUTS[name]).LAYOUT
    return layout


def layout_of(root: str | Path) -> Layout:
    """Which layout a folder has, from the files that only that layout has.

    Raises:
        InputError: there is no such folder, or it looks like none of them.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"there is no data set folder {root}.")
    known = [layout_named(name) for name in LAYOUTS]
    for layout in known:
        if layout.recognises(root):
            return layout
    marks = ", ".join(f"{layout.title} has {layout.marks}" for layout in reversed(known))
    raise InputError(f"{root} has the layout of no known data set: {marks}.")


def open_dataset(root: str | Path, split: str) -> Dataset:
    """One split of a data set in whichever layout its folder has.

    Args:
        split: BOP: a folder such as "test" or "train_pbr". SPE3R: "train", "validation" or "test". NOCS:
            "camera_train", "camera_val", "real_train" or "real_test".

    Raises:
        InputError: no such folder, layout or split.
    """
    return layout_of(root).reader(Path(root), split)


def splits_of(root: str | Path) -> tuple[str, ...]:
    """The splits that a folder has, for whoever did not name one.

    Raises:
        InputError: as `layout_of`.
    """
    return layout_of(root).splits(Path(root))
