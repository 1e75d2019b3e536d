"""2. Read results.json, and transform the meshes to the camera frame.

    python examples/02_read_results.py [DIR]

It does not import crisp: any program that reads JSON and PLY can do this. DIR is the output folder of the
first example, of `crisp estimate --out DIR`, or of `crisp demo --out DIR`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import trimesh


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/example"))
    folder = parser.parse_args().folder
    content = json.loads((folder / "results.json").read_text())
    print(f"crisp {content['crisp_version']}, model {content['model']['name']}")
    for frame in content["frames"]:
        print(f"frame {frame['frame_id']}: {len(frame['objects'])} objects")
        for found in frame["objects"]:
            print(f"  {found['detection']}: {describe(found)}")
        scene = meshes_in_camera(frame, folder)
        if scene:
            path = folder / f"scene_{frame['frame_id'].replace('/', '_')}.ply"
            trimesh.util.concatenate(scene).export(path)
            print(f"  all meshes in the camera frame, metres: {path}")


def describe(found: dict) -> str:
    """One line: position and size, or why there is no estimate."""
    if found["status"] != "ok":
        return f"{found['status']}: {found['message']}"
    centre = np.array(found["T_camera_object"])[:3, 3]
    text = f"at {np.round(centre, 3).tolist()} m, {found['diameter_m']:.3f} m across"
    if "errors" in found:  # only if the truth is known, as in the demo
        text += f", ADD-S {1000 * found['errors']['add_s_m']:.1f} mm"
    return text


def meshes_in_camera(frame: dict, folder: Path) -> list[trimesh.Trimesh]:
    """The frame's meshes, transformed from their object frames to the camera frame (OpenCV axes)."""
    moved = []
    for found in frame["objects"]:
        if found["mesh"] is not None:
            mesh = trimesh.load_mesh(folder / found["mesh"], process=False)
            moved.append(mesh.apply_transform(np.array(found["T_camera_object"])))
    return moved


if __name__ == "__main__":
    main()
