"""NOCS's layout: six categories, CAMERA and REAL."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from crisp.data.dataset import FrameKey, Instance
from crisp.data.layout import Conventions, Layout, Size, Writing
from crisp.data.nocs.files import CATEGORIES, SPLITS, Split, camera_of, is_real
from crisp.data.nocs.reader import FRAME_FOLDERS, NocsDataset
from crisp.data.nocs.writer import NocsWriter
from crisp.errors import InputError


def _recognises(root: Path) -> bool:
    folders = [root / name for names in FRAME_FOLDERS.values() for name in names]
    marks = ("*/*_meta.txt", "*/*_color.png")  # frames without labels have no meta file
    return any(any(folder.glob(mark)) for folder in folders if folder.is_dir() for mark in marks)


def _splits(root: Path) -> tuple[str, ...]:
    return tuple(
        split for split, names in FRAME_FOLDERS.items() if any((root / name).is_dir() for name in names)
    )


def _handle_hidden(key: FrameKey, instance: Instance) -> bool:
    return not instance.handle_visible


def _check(split: str, size: Size) -> None:
    if split not in SPLITS:
        raise InputError(f"with layout nocs the split must be {', '.join(SPLITS)}, got {split!r}.")
    camera_of(split, size)


LAYOUT = Layout(
    name="nocs",
    title="NOCS",
    marks="real/test/scene_1/0000_meta.txt",
    recognises=_recognises,
    splits=_splits,
    reader=NocsDataset,
    conventions=Conventions(unit="box diagonal", upright=1, handle_hidden=_handle_hidden),
    writing=Writing(
        lambda root, split, models: NocsWriter(root, cast("Split", split), models),
        check=_check,
        camera=lambda split, size: camera_of(cast("Split", split), size),
        categories=CATEGORIES,
        resized=lambda split: not is_real(cast("Split", split)),
    ),
)
