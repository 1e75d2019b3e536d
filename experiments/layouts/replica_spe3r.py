"""A replica of SPE3R, from rendering to the paper's table 10 in the set's own units.

24 satellites are trained on, with 20 images each. `validation` has the same satellites in other poses;
`test`, as in SPE3R, has new satellites.

    python -m experiments.layouts.replica_spe3r [--quick]
"""

from __future__ import annotations

from experiments.layouts.replica_chain import main
from experiments.layouts.replica_plan import Render, Replica

REPLICA = Replica(
    name="replica_spe3r",
    layout="spe3r",
    train=Render("train", seed=601, size=(24, 25), quick_size=(2, 5)),
    test=Render("test", seed=602, size=(3, 10), quick_size=(1, 2)),
    judged=("validation", "test"),
    recipe="replica-spe3r",
    adapt_recipe="replica-spe3r",
    correct=("spe3r-bcd", "spe3r-lsq"),
    protocols=("add-s", "spe3r-l1"),
    tables=(10,),
    auc_cm=10,
    why="a satellite's largest side is 1, which the reader calls a metre: 10 cm are a tenth of it",
)

if __name__ == "__main__":
    main(REPLICA, __doc__)
