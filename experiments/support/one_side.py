"""The answers of one checkout to given frames; run by its path, with that checkout's `src` on PYTHONPATH.

    python experiments/support/one_side.py JOB.json

It uses only the package's public interface, so that the same file runs with older and newer checkouts:
`crisp.load`, `with_correction`, `estimate`, `Frame.from_files` and `InputError`; also the name of a model's
field `meshing.resolution`. It writes one JSON file per frame.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import crisp

COARSE = 32


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    source = Path(job["checkout"], "src").resolve()
    if not Path(crisp.__file__).resolve().is_relative_to(source):
        sys.exit(f"crisp was imported from {crisp.__file__}, not from {source}")
    start = time.perf_counter()
    fine, refused = None, None
    try:
        fine = crisp.load(job["model"], device="cpu").with_correction(job["setting"])
    except crisp.InputError as error:
        refused = str(error)
    for frame in job["frames"]:
        found = {"refused": refused} if fine is None else answers(fine, frame)
        seconds, start = time.perf_counter() - start, time.perf_counter()
        write(Path(frame["out"]), found | {"seconds": seconds})


def answers(fine: Any, frame: dict[str, Any]) -> dict[str, Any]:
    """The model's answer for each mask, or its error."""
    model = fine if frame["meshes"] else replace(fine, meshing=replace(fine.meshing, resolution=COARSE))
    try:
        files = (frame[kind] for kind in ("rgb", "depth", "camera"))
        shown = crisp.Frame.from_files(*files, frame_id=frame["name"])
        results = model.estimate(shown, [np.asarray(Image.open(path)) > 0 for path in frame["masks"]])
    except crisp.InputError as error:
        return {"refused": str(error)}
    return {"objects": [described(result) for result in results]}


def described(result: Any) -> dict[str, Any]:
    pose, certificate = result.T_camera_object, result.certificate
    return {
        "status": result.status,
        "label": result.label,
        "T_camera_object": None if pose is None else np.asarray(pose, dtype=np.float64).tolist(),
        "diameter_m": None if result.diameter_m is None else float(result.diameter_m),
        "certified": None if certificate is None else bool(certificate.certified),
        "reasons": None if certificate is None else list(certificate.reasons),
    }


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


if __name__ == "__main__":
    main()
