"""Table 13's experiment: Alg. 2 without and with the network's own code h in the basis (9).

python -m experiments.paper.table13 [--quick]
"""

from __future__ import annotations

from crisp.refine.corrector import Corrector
from crisp.refine.pose_step import Se3Step
from crisp.refine.shape_step import ActiveShape
from experiments.paper.corrector_tables import run_table

WAYS = {
    "without h": Corrector(Se3Step(), ActiveShape(with_network=False)),
    "with h": Corrector(Se3Step(), ActiveShape()),
}

if __name__ == "__main__":
    run_table("table13", __doc__, WAYS, {})
