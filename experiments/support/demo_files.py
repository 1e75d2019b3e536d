"""The demo scene as files, so that two checkouts read the same: run with the older one's `src` on PYTHONPATH.

    python experiments/support/demo_files.py FOLDER

It imports the older checkout's `crisp.demo`, whose names stay what they are.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SEED = 3


def main() -> None:
    from crisp.demo import OBJECTS, demo_scene

    folder = Path(sys.argv[1])
    scene = demo_scene(seed=SEED, objects=OBJECTS, look_name="clean")
    frame = scene.frame
    (folder / "masks").mkdir(parents=True)
    Image.fromarray(frame.rgb).save(folder / "rgb.png")
    np.save(folder / "depth.npy", frame.depth_m)  # metres as they are, not rounded to a depth image's steps
    K = [float(v) for v in frame.camera.K.ravel()]
    size = {"width": frame.camera.width, "height": frame.camera.height}
    (folder / "camera.json").write_text(json.dumps({"cam_K": K} | size))
    for number, detection in enumerate(scene.detections):
        Image.fromarray(255 * detection.mask.astype(np.uint8)).save(folder / "masks" / f"{number:06d}.png")


if __name__ == "__main__":
    main()
