"""Put a trained checkpoint into the package: heads in int8, backbone shared with the other models.

python scripts/bundle.py RUN/checkpoint [--name small] [--correct default]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from crisp.model import BACKBONE
from crisp.networks.checkpoint import load_checkpoint, save_checkpoint
from crisp.recipes import load_correction
from crisp.shipped import WEIGHTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--name", default="small")
    parser.add_argument("--correct", default="default", help="the correction settings that suit it")
    options = parser.parse_args()
    network, info = load_checkpoint(options.checkpoint)
    folder = WEIGHTS / options.name
    load_correction(options.correct)  # there must be such settings
    info = replace(info, name=options.name, training=dict(info.training) | {"correct": options.correct})
    save_checkpoint(folder, network, info, dtype="int8", backbone_file=BACKBONE)
    size = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())
    print(f"{folder}: all bundled weights are {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
