"""Write the symmetries of YCB-Video's 21 objects, as in BOP's YCB-V, next to their meshes.

    python scripts/ycb_symmetries.py MESHES MODELS_INFO

MESHES is a folder of the 21 meshes (`002_master_chef_can.glb` to `061_foam_brick.glb`), MODELS_INFO the file
`models/models_info.json` of BOP's YCB-V, whose ids 1 to 21 follow the meshes' names in order. The sizes of
both must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from crisp.data.mesh_files import INFO_NAME, SUFFIXES, read_model
from crisp.documents import read_json
from crisp.errors import InputError
from crisp.files import write_whole

OBJECTS = 21
TOLERANCE_MM = 2.0
SIZES = {"size_x", "size_y", "size_z"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meshes", type=Path)
    parser.add_argument("models_info", type=Path)
    options = parser.parse_args()
    try:
        entries = declared(options.meshes, read_json(options.models_info))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    path = options.meshes / INFO_NAME
    write_whole(path, json.dumps(entries, indent=1) + "\n")
    symmetric = [name for name, entry in entries.items() if any("symmetries" in key for key in entry)]
    print(f"{path}: {len(symmetric)} objects are symmetric ({', '.join(symmetric)})")
    return 0


def declared(folder: Path, known: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """BOP's entries by the meshes' names.

    Raises:
        InputError: no such folder, not 21 meshes, an id or a size that is missing, or a mesh of another size
            than its entry says.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one that holds YCB-Video's 21 meshes.")
    meshes = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(meshes) != OBJECTS:
        raise InputError(f"{folder} holds {len(meshes)} meshes, YCB-Video has {OBJECTS} objects.")
    entries = {}
    for number, path in enumerate(meshes, start=1):
        entry = known.get(str(number))
        if not isinstance(entry, dict) or not entry.keys() >= SIZES:
            raise InputError(
                f"the declared objects have no number {number} with a size, which {path.name} is."
            )
        said = np.array([entry[key] for key in sorted(SIZES)], dtype=float)
        size = 1000 * np.ptp(read_model(path).mesh.vertices, axis=0)
        if np.abs(size - said).max() > TOLERANCE_MM:
            raise InputError(
                f"{path.name} is {np.round(size, 1)} mm large, object {number} should be {said}: "
                "the meshes must be YCB-Video's, in BOP's frame and metres."
            )
        entries[path.stem] = entry
    return entries


if __name__ == "__main__":
    sys.exit(main())
