"""A replica of YCB-Video, from rendering to the paper's tables 11 and 12.

It has tabletop scenes of the 28 procedural objects in BOP's layout, with YCB-Video's split names. As there,
the same objects are in `train_pbr` and `test`, in other poses, lights and backgrounds.

    python -m experiments.layouts.replica_ycbv [--quick]
"""

from __future__ import annotations

from experiments.layouts.replica_chain import main
from experiments.layouts.replica_plan import Render, Replica

NEAR = ("--distance-m", "0.4", "0.75", "--focal-px", "270", "310")
SMALL = ("--width", "320", "--height", "240")

REPLICA = Replica(
    name="replica_ycbv",
    layout="bop",
    train=Render("train_pbr", 621, (26, 6), (2, 1), options=("--objects-per-scene", "7", "9", *NEAR, *SMALL)),
    test=Render("test", 622, (18, 1), (1, 1), options=("--objects-per-scene", "5", "6", *NEAR, *SMALL)),
    judged=("test",),
    recipe="replica",
    adapt_recipe="replica",
    correct=("default",),
    protocols=("add-s", "crisp-shape", "chamfer-mm"),
    tables=(11, 12),
    auc_cm=2,
    why="that of the paper's tables 11 and 12",
)

if __name__ == "__main__":
    main(REPLICA, __doc__)
