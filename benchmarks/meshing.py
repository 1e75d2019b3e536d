"""Coarse-to-fine meshing against the plain dense evaluation of the same grid.

    python -m benchmarks.meshing [--quick]

Both mesh the shapes of the bundled model's library with its decoder, in turns, and end with a mesh. Where no
model is bundled, a decoder is fitted to three analytic shapes first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from experiments.support.evidence import Claim, write_evidence
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

from crisp.networks.checkpoint import load_checkpoint
from crisp.networks.config import preset
from crisp.networks.model import FilmSirenDecoder
from crisp.shape.mesh import MeshConfig, drop_specks, extract_mesh
from crisp.shape.sdf import AnalyticBox, AnalyticEllipsoid, AnalyticSphere
from crisp.shipped import WEIGHTS
from crisp.types import Mesh

FIT_STEPS = 150


class Counted:
    """A field that counts the points it is asked for."""

    def __init__(self, field: FilmSirenDecoder) -> None:
        self.field, self.cube_half_m, self.points = field, field.cube_half_m, 0

    def __call__(self, points_object: Tensor, code: Tensor) -> Tensor:
        self.points += points_object.shape[:-1].numel()
        return self.field(points_object, code)


@dataclass(frozen=True)
class Trial:
    """One object meshed both ways."""

    dense_s: float
    sparse_s: float
    gap_voxels: float
    same_faces: bool
    evaluated_share: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two objects instead of eight")
    quick = parser.parse_args().quick
    start = time.perf_counter()
    source, decoder, codes = load_or_fit()
    chosen = np.linspace(0, len(codes) - 1, min(2 if quick else 8, len(codes))).round().astype(int)
    config = MeshConfig()
    extract_mesh(decoder, codes[0], replace(config, resolution=32))  # warm-up
    trials = [compare(decoder, codes[i], config) for i in chosen]
    settings = asdict(config) | {
        "decoder": source,
        "objects": chosen.tolist(),
        "threads": torch.get_num_threads(),
        "dense_s": [round(t.dense_s, 3) for t in trials],
        "coarse_to_fine_s": [round(t.sparse_s, 3) for t in trials],
    }
    write_evidence(
        "meshing",
        claims_of(trials),
        settings=settings,
        seconds=time.perf_counter() - start,
        folder=Path(__file__).parent / "results",
        quick=quick,
    )


def claims_of(trials: list[Trial]) -> list[Claim]:
    ratio = [t.dense_s / t.sparse_s for t in trials]
    return [
        Claim(
            "coarse-to-fine against the dense grid, median over objects (interval: range)",
            ">= 8",
            statistics.median(ratio),
            (min(ratio), max(ratio)),
            "times",
        ),
        Claim(
            "largest distance between the vertices of the two meshes, both ways, all objects",
            "< 0.1",
            max(t.gap_voxels for t in trials),
            unit="voxel",
        ),
        Claim(
            "objects whose two meshes have the same number of vertices and faces",
            ">= 1",
            sum(t.same_faces for t in trials) / len(trials),
            unit="share",
        ),
        Claim(
            "share of the grid's nodes that is evaluated, mean",
            "report",
            statistics.mean(t.evaluated_share for t in trials),
            unit="share",
        ),
        Claim("time of one mesh, median", "report", statistics.median(t.sparse_s for t in trials), unit="s"),
    ]


def load_or_fit() -> tuple[str, FilmSirenDecoder, Tensor]:
    folder = WEIGHTS / "small"
    if folder.is_dir():
        network, info = load_checkpoint(folder)
        return f"bundled {info.name}", network.decoder, info.library.codes
    return "fitted to analytic shapes", *fit()


def fit() -> tuple[FilmSirenDecoder, Tensor]:
    """A decoder with one code for each of a sphere, a box and an ellipsoid."""
    torch.manual_seed(0)
    config = preset("small")
    decoder, h = FilmSirenDecoder(config), config.cube_half_m
    fields = (AnalyticSphere(h), AnalyticBox(h), AnalyticEllipsoid(h))
    sizes = torch.tensor([[0.09, 0.09, 0.09], [0.1, 0.04, 0.13], [0.14, 0.09, 0.05]])
    plain = torch.zeros(len(fields), config.film_layers, 2, config.hidden)
    plain[:, :, 0] = 1.0  # gamma one, beta zero
    codes = (plain.flatten(1) + 0.01 * torch.randn(len(fields), config.code_dim)).requires_grad_(True)
    optimiser = torch.optim.Adam([*decoder.parameters(), codes], lr=3e-4)
    for _ in range(FIT_STEPS):
        points = (2 * torch.rand(len(fields), 1024, 3) - 1) * h
        truth = torch.stack([f(p, s) for f, p, s in zip(fields, points, sizes, strict=True)])
        loss = (decoder(points, codes) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return decoder.eval(), codes.detach()


def compare(decoder: FilmSirenDecoder, code: Tensor, config: MeshConfig) -> Trial:
    start = time.perf_counter()
    dense = extract_mesh_dense(decoder, code, config)
    middle = time.perf_counter()
    sparse = extract_mesh(decoder, code, config)
    end = time.perf_counter()
    counted = Counted(decoder)
    extract_mesh(counted, code, config)
    voxel_m = 2 * decoder.cube_half_m / (config.resolution - 1)
    return Trial(
        dense_s=middle - start,
        sparse_s=end - middle,
        gap_voxels=vertex_gap_m(dense, sparse) / voxel_m,
        same_faces=(len(dense.vertices), len(dense.faces)) == (len(sparse.vertices), len(sparse.faces)),
        evaluated_share=counted.points / config.resolution**3,
    )


def extract_mesh_dense(decoder: FilmSirenDecoder, code: Tensor, config: MeshConfig) -> Mesh:
    """The plain twin: the field at every node of the grid, then marching cubes."""
    n, half = config.resolution, decoder.cube_half_m
    axis = torch.linspace(-half, half, n)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    with torch.inference_mode():
        values = torch.cat([decoder(part, code) for part in grid.split(config.points_per_call)])
    vertices, faces, _, _ = marching_cubes(values.reshape(n, n, n).numpy(), 0.0, allow_degenerate=False)
    mesh = Mesh(vertices.astype(np.float64) * (2 * half / (n - 1)) - half, faces.astype(np.int64))
    return drop_specks(mesh, min_share=config.min_component_share)


def vertex_gap_m(a: Mesh, b: Mesh) -> float:
    """Largest distance from a vertex of either mesh to the other's nearest vertex."""
    from_a, _ = cKDTree(b.vertices).query(a.vertices)
    from_b, _ = cKDTree(a.vertices).query(b.vertices)
    return float(max(from_a.max(), from_b.max()))


if __name__ == "__main__":
    main()
