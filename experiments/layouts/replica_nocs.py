"""A replica of NOCS's REAL part, from rendering to the paper's tables 8 and 9.

It has tabletop scenes of the six categories' procedural objects, in NOCS's files, camera and units. The same
17 objects are in `real_train` and `real_test`, in other poses, lights and backgrounds; in NOCS itself the
instances differ.

    python -m experiments.layouts.replica_nocs [--quick]
"""

from __future__ import annotations

from experiments.layouts.replica_chain import main
from experiments.layouts.replica_plan import Render, Replica

NEAR = ("--distance-m", "0.4", "0.75")
SMALL = ("--width", "320", "--height", "240")

REPLICA = Replica(
    name="replica_nocs",
    layout="nocs",
    train=Render(
        "real_train", 611, (28, 6), (2, 1), options=("--objects-per-scene", "6", "8", *NEAR, *SMALL)
    ),
    test=Render("real_test", 612, (18, 1), (1, 1), options=("--objects-per-scene", "5", "6", *NEAR, *SMALL)),
    judged=("real_test",),
    recipe="replica",
    adapt_recipe="replica",
    correct=("default",),
    protocols=("add-s", "nocs-shape", "nocs-map-original"),
    tables=(8, 9),
    auc_cm=2,
    why="that of the paper's table 12 for objects of this size",
)

if __name__ == "__main__":
    main(REPLICA, __doc__)
