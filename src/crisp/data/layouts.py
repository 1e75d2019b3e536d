"""The door to every data set: which layout a folder has, and the reader of that layout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from crisp.data.bop.reader import BopDataset
from crisp.data.dataset import Dataset
from crisp.data.nocs.reader import FRAME_FOLDERS, NocsDataset
from crisp.data.spe3r.reader import Spe3rDataset
from crisp.errors import InputError

Layout = Literal["bop", "spe3r", "nocs"]


def layout_of(root: str | Path) -> Layout:
    """Which layout a folder has, from the files that only that layout has.

    Raises:
        InputError: there is no such folder, or it looks like none of them.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"there is no data set folder {root}.")
    if (root / "splits.csv").is_file():
        return "spe3r"
    nocs = [root / name for names in FRAME_FOLDERS.values() for name in names]
    names = ("*/*_meta.txt", "*/*_color.png")  # frames without labels have no meta file
    if any(any(folder.glob(name)) for folder in nocs if folder.is_dir() for name in names):
        return "nocs"
    if (
        any(root.glob("*/*/scene_camera.json"))
        or any(root.glob("*/*/rgb"))
        or any(root.glob("models*/*.ply"))
    ):
        return "bop"
    raise InputError(
        f"{root} has the layout of no known data set: BOP has SPLIT/000001/scene_camera.json, "
        "SPE3R has splits.csv, NOCS has real/test/scene_1/0000_meta.txt."
    )


def open_dataset(root: str | Path, split: str) -> Dataset:
    """One split of a data set in whichever layout its folder has.

    Args:
        split: BOP: a folder such as "test" or "train_pbr". SPE3R: "train", "validation" or "test". NOCS:
            "camera_train", "camera_val", "real_train" or "real_test".

    Raises:
        InputError: no such folder, layout or split.
    """
    layout = layout_of(root)
    if layout == "spe3r":
        return Spe3rDataset(root, split)
    if layout == "nocs":
        return NocsDataset(root, split)
    return BopDataset(root, split)


def splits_of(root: str | Path) -> tuple[str, ...]:
    """The splits that a folder has, for whoever did not name one.

    Raises:
        InputError: as `layout_of`.
    """
    root, layout = Path(root), layout_of(root)
    if layout == "spe3r":
        return ("train", "validation", "test")
    if layout == "nocs":
        return tuple(
            split for split, names in FRAME_FOLDERS.items() if any((root / n).is_dir() for n in names)
        )
    found = {path.parent.parent.name for path in (*root.glob("*/*/scene_camera.json"), *root.glob("*/*/rgb"))}
    return tuple(sorted(found))
