"""1. Pose and shape of the objects in one RGB-D frame.

    python examples/01_estimate_one_frame.py [--out DIR]

So that it runs anywhere, it first renders a scene and writes it as the files of a depth camera. With a
frame of your own, start at "the estimate".
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

import crisp
from crisp.cli.demo_scene import DemoScene, demo_scene
from crisp.output.sink import FrameResults, ResultsJson, Run, write_results
from crisp.types import Detection

DEPTH_SCALE = 0.1  # raw value x depth_scale = millimetres


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/example"))
    parser.add_argument("--weights", default="bundled")
    options = parser.parse_args()
    folder = options.out / "frame"
    write_frame(demo_scene(seed=3, objects=5, look_name="clean"), folder)

    # the estimate
    model = crisp.load(options.weights)
    frame = crisp.Frame.from_files(folder / "rgb.png", folder / "depth.png", folder / "camera.json")
    masks = [Detection(np.array(Image.open(path)) > 0) for path in sorted(folder.glob("mask_*.png"))]
    results = model.estimate(frame, masks)

    for number, result in enumerate(results):
        if result.status != "ok":
            print(f"{number}: {result.status}: {result.message}")
            continue
        x, y, z = result.T_camera_object[:3, 3]
        print(
            f"{number}: {x:+.3f} m right, {y:+.3f} m down, {z:.3f} m ahead; "
            f"{result.diameter_m:.3f} m across; {result.inlier_share:.0%} of its points agree"
        )

    run = Run(options.out, model, settings={"masks": len(masks)})
    (path,) = write_results(ResultsJson(), run, FrameResults(frame, masks, results))
    print(f"written: {path}")


def write_frame(scene: DemoScene, folder: Path) -> None:
    """Colour as 8-bit PNG, depth as 16-bit PNG, a camera file, and one mask per object."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = scene.frame
    Image.fromarray(frame.rgb).save(folder / "rgb.png")
    raw = np.rint(1000 * frame.depth_m / DEPTH_SCALE).astype(np.uint16)
    Image.fromarray(raw).save(folder / "depth.png")
    camera = {"cam_K": frame.camera.K.ravel().tolist(), "depth_scale": DEPTH_SCALE}
    (folder / "camera.json").write_text(json.dumps(camera))
    for number, detection in enumerate(scene.detections):
        Image.fromarray(detection.mask.astype(np.uint8) * 255).save(folder / f"mask_{number:02d}.png")


if __name__ == "__main__":
    main()
