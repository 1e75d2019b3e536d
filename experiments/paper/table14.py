"""Table 14's experiment: Alg. 2 without and with D, and with h averaged by c_k d_k, the weights of (9).

It uses every fourth image, because four variants take four times as long as one.

python -m experiments.paper.table14 [--quick]
"""

from __future__ import annotations

from crisp.refine.corrector import Corrector
from crisp.refine.pose_step import Se3Step
from crisp.refine.shape_step import ActiveShape
from experiments.paper.corrector_tables import run_table

WAYS = {
    "without D": Corrector(Se3Step(), ActiveShape(with_sizes=False)),
    "with D": Corrector(Se3Step(), ActiveShape()),
    "with D, mixed by c d": Corrector(Se3Step(), ActiveShape(mix_by_size=True)),
    "with D, one-hot": Corrector(Se3Step(), ActiveShape(one_hot=True)),
}

if __name__ == "__main__":
    run_table("table14", __doc__, WAYS, {}, every=4)
