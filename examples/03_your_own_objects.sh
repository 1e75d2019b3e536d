#!/usr/bin/env bash
# 3. From a folder of your CAD files to a model that knows them, and its scores.
#
#     bash examples/03_your_own_objects.sh MESHES OUT
#
# MESHES: a folder of watertight GLB, OBJ or PLY files, in metres. OUT: the output folder.
# SCENES, VIEWS and RECIPE may be set in the environment. `crisp` must be on the PATH (.venv/bin).
# If it is interrupted, run it again with the same settings to continue.
set -euo pipefail
meshes=$1 out=$2
scenes=${SCENES:-100} views=${VIEWS:-6} recipe=${RECIPE:-small}
# Images for training and for testing, with different seeds and therefore different scenes.
crisp synthesise --meshes "$meshes" --out "$out/data" --split train --seed 1 \
    --scenes "$scenes" --views-per-scene "$views"
crisp synthesise --meshes "$meshes" --out "$out/data" --split test --seed 2 \
    --scenes 10 --views-per-scene 2

crisp train --dataset "$out/data" --recipe "$recipe" --out "$out/run"

crisp evaluate predict --dataset "$out/data" --weights "$out/run/checkpoint" --out "$out/predictions"
crisp evaluate score --predictions "$out/predictions" --dataset "$out/data"
echo "the model: $out/run/checkpoint   (crisp estimate --weights $out/run/checkpoint ...)"
