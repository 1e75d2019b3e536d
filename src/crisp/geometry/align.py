"""Poses from matched points: weighted Procrustes, batched RANSAC, and a robust similarity fit.

`weighted_procrustes` and `register` (PyTorch; method.md, section 3) find T_camera_object, the motion
z -> R z + t of SE(3) (no scale, det R = +1) from object points to measured points. The first is
differentiable. The second is robust to outliers and has no gradient. `fit_similarity` (NumPy, float64) is
also robust, takes one object, and estimates the scale too unless it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry.points import gather_points, scoring_subset, valid_first
from crisp.geometry.pose import apply, from_rotation_translation

MIN_POINTS = 4
SHARE_OF_SIZE = 0.05  # 1 cm of the bundled model's objects, whose median diameter is 19.5 cm
# Points count as collinear below this ratio of the second to the first principal spread. The rotation about
# a line is not determined.
MIN_SPREAD_RATIO = 1e-3
# The rotation moves at most 1 / (2 eps) times as much as the correlation matrix, relative to its norm.
GRADIENT_EPS = 1e-3


@dataclass(frozen=True)
class RegistrationConfig:
    """Settings of `register`.

    Args:
        hypotheses: draws per object.
        sample: points per draw (at least 3).
        inlier_m: a point is an inlier of a pose when its residual is below this, metres.
        refits: weighted refits after the draws, the first ones with a wider kernel.
        scoring_points: at most this many points per object score the draws; the refits use all points.
        seed: of the draws. An object's pose does not depend on the other objects of the batch.
    """

    hypotheses: int = 256
    sample: int = 4
    inlier_m: float = 0.01
    refits: int = 5
    scoring_points: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.hypotheses < 1 or self.sample < 3 or self.refits < 0 or self.scoring_points < MIN_POINTS:
            raise InputError(
                "registration needs hypotheses >= 1, sample >= 3, refits >= 0 and scoring_points >= 4, got "
                f"{self.hypotheses}, {self.sample}, {self.refits} and {self.scoring_points}."
            )
        if not self.inlier_m > 0:
            raise InputError(f"inlier_m must be a positive length in metres, got {self.inlier_m}.")

    @classmethod
    def for_size(cls, diameter_m: float) -> RegistrationConfig:
        """For objects of about this size: inlier_m is a twentieth of the diameter, and at least 1 cm.

        Data sets whose unit is not the metre need this: SPE3R's satellites are one "metre" across.
        """
        return cls(inlier_m=max(cls.inlier_m, SHARE_OF_SIZE * diameter_m))


@dataclass(frozen=True, eq=False)
class Registration:
    """What `register` found for a batch.

    Args:
        T_camera_object: (B, 4, 4) float64; the identity where not ok.
        inlier_share: (B,) share of the valid points with a residual below inlier_m; 0 where not ok.
        residual_m: (B, N) |R z + t - x| of each pair; infinite for invalid points and for objects that are
            not ok.
        ok: (B,) False where there are fewer than four inliers, or where these lie on a line or in a point.
    """

    T_camera_object: Float[Tensor, "b 4 4"]
    inlier_share: Float[Tensor, " b"]
    residual_m: Float[Tensor, "b n"]
    ok: Bool[Tensor, " b"]


def weighted_procrustes(
    pnc: Float[Tensor, "*b n 3"],
    points_camera: Float[Tensor, "*b n 3"],
    weights: Float[Tensor, "*b n"],
    *,
    gradient_eps: float = GRADIENT_EPS,
) -> Float[Tensor, "*b 4 4"]:
    """T_camera_object minimising sum_i w_i |R z_i + t - x_i|^2 over SE(3) (section 3).

    Differentiable with respect to all three inputs. Where the points do not determine the rotation (on a
    line, in a point, or no weight at all), it returns one of the minimisers; the gradient is damped, never
    NaN.

    Args:
        pnc: z, metres, object frame.
        points_camera: x, metres, camera frame.
        weights: not negative; points of weight zero have no influence, but must be finite.
        gradient_eps: damping; the gradient is too small by the relative amount
            (gradient_eps / sum of two relative singular values)^2.
    """
    total = weights.sum(-1, keepdim=True)
    share = (weights / total.clamp(min=torch.finfo(weights.dtype).tiny)).unsqueeze(-1)
    z_mean, x_mean = (share * pnc).sum(-2), (share * points_camera).sum(-2)
    correlation = (share * (points_camera - x_mean.unsqueeze(-2))).mT @ (pnc - z_mean.unsqueeze(-2))
    return _from_moments(correlation, z_mean, x_mean, gradient_eps=gradient_eps)


def _from_moments(
    correlation: Tensor, z_mean: Float[Tensor, "*b 3"], x_mean: Tensor, *, gradient_eps: float = GRADIENT_EPS
) -> Float[Tensor, "*b 4 4"]:
    """Arun's solution: the rotation nearest to the correlation of x with z; the means map on each other."""
    # The best rotation does not depend on the correlation's scale; dividing by it makes the damping relative.
    size = correlation.detach().square().sum((-1, -2), keepdim=True).sqrt()
    unit = correlation / size.clamp(min=torch.finfo(size.dtype).tiny ** 0.5)
    R = _nearest_rotation(unit, gradient_eps)
    return from_rotation_translation(R, x_mean - (R @ z_mean.unsqueeze(-1))[..., 0])


def _nearest_rotation(M: Float[Tensor, "*b 3 3"], gradient_eps: float) -> Float[Tensor, "*b 3 3"]:
    if not torch.is_inference_mode_enabled():
        return roma.special_procrustes(M, gradient_eps=gradient_eps)
    # roma caches constants for the whole process: created in inference mode, they would not allow gradients.
    with torch.inference_mode(False), torch.no_grad():
        return roma.special_procrustes(M.clone(), gradient_eps=gradient_eps)


def draw_samples(valid: Bool[Tensor, "b n"], config: RegistrationConfig) -> Int[Tensor, "b h s"]:
    """Indices of the minimal samples, uniform among each object's valid points (0 where it has none).

    A sample may hold a point twice; this is rare and costs one poor draw. All objects share the random
    numbers, so that an object's draws do not depend on its batch.
    """
    generator = torch.Generator().manual_seed(config.seed)
    uniform = torch.rand(config.hypotheses, config.sample, generator=generator, dtype=torch.float64)
    count = valid.sum(-1)
    rank = (uniform.to(valid.device) * count[:, None, None]).long()
    return valid_first(valid).gather(1, rank.flatten(1)).unflatten(1, tuple(rank.shape[1:]))


def hypotheses(
    pnc: Float[Tensor, "b n 3"], points_camera: Float[Tensor, "b n 3"], draws: Int[Tensor, "b h s"]
) -> Float[Tensor, "b h 4 4"]:
    """The unweighted pose of every draw, all in one batch."""
    z, x = gather_points(pnc, draws), gather_points(points_camera, draws)
    return weighted_procrustes(z, x, torch.ones_like(z[..., 0]))


def truncated_cost(
    T_camera_object: Float[Tensor, "b h 4 4"],
    pnc: Float[Tensor, "b m 3"],
    points_camera: Float[Tensor, "b m 3"],
    *,
    counts: Bool[Tensor, "b m"],
    inlier_m: float,
) -> Float[Tensor, "b h"]:
    """MSAC: sum over points of min(|R z + t - x|^2, inlier_m^2), for every hypothesis."""
    squared = _Pairs.of(pnc, points_camera).squared_residuals(T_camera_object)
    return (squared.clamp_(0, inlier_m**2) @ counts.to(squared.dtype).unsqueeze(-1))[..., 0]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Products of matched points. Residuals and moments are linear in them, so each is one matrix product.

    Differences of squares lose half the digits; float64 on centred points has enough.

    Args:
        products: x z' (9, row-major), z, x, 1.
        squares: |z|^2 + |x|^2.
    """

    products: Float[Tensor, "b n 16"]
    squares: Float[Tensor, "b n"]

    @classmethod
    def of(cls, z: Float[Tensor, "b n 3"], x: Float[Tensor, "b n 3"]) -> _Pairs:
        outer = (x.unsqueeze(-1) * z.unsqueeze(-2)).flatten(-2)
        squares = (z.square() + x.square()).sum(-1)
        return cls(torch.cat([outer, z, x, torch.ones_like(z[..., :1])], dim=-1), squares)

    def squared_residuals(self, T: Float[Tensor, "b h 4 4"]) -> Float[Tensor, "b h n"]:
        """|R z + t - x|^2 = |z|^2 + |x|^2 - 2 tr(R' x z') + 2 (R't)'z - 2 t'x + |t|^2; may round below 0."""
        R, t = T[..., :3, :3], T[..., :3, 3]
        turned = (R.mT @ t.unsqueeze(-1))[..., 0]
        factors = [-2 * R.flatten(-2), 2 * turned, -2 * t, t.square().sum(-1, keepdim=True)]
        return torch.baddbmm(self.squares.unsqueeze(1), torch.cat(factors, dim=-1), self.products.mT)

    def fit(self, weights: Float[Tensor, "b n"]) -> Float[Tensor, "b 4 4"]:
        """`weighted_procrustes` of the pairs, without another pass over the points."""
        total = weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        mean = (weights.unsqueeze(1) @ self.products)[:, 0] / total
        z_mean, x_mean = mean[:, 9:12], mean[:, 12:15]
        return _from_moments(
            mean[:, :9].unflatten(-1, (3, 3)) - x_mean[:, :, None] * z_mean[:, None], z_mean, x_mean
        )


@torch.no_grad()
def register(
    pnc: Float[Tensor, "b n 3"],
    points_camera: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    config: RegistrationConfig | None = None,
) -> Registration:
    """Robust pose of every object of a batch (section 3): all draws at once, then weighted refits.

    Points that are invalid or not finite are ignored. An object that cannot be registered raises nothing: its
    `ok` is False. Deterministic; no gradient (use `weighted_procrustes` for one).
    """
    config = config or RegistrationConfig()
    if valid.shape[1] < MIN_POINTS:
        return _nothing_found(valid)
    valid = valid & pnc.isfinite().all(-1) & points_camera.isfinite().all(-1)
    z, z_mean = _centred(pnc, valid)
    x, x_mean = _centred(points_camera, valid)
    T = _best_draw(z, x, valid, config=config)
    T = _refit(T, z, x, valid=valid, config=config)
    residual_m = _residual(T, z, x)
    inlier = valid & (residual_m < config.inlier_m)
    ok = (inlier.sum(-1) >= MIN_POINTS) & _spread(z, inlier, config) & _spread(x, inlier, config)
    t = T[:, :3, 3] + x_mean - (T[:, :3, :3] @ z_mean.unsqueeze(-1))[..., 0]
    T_camera_object = from_rotation_translation(T[:, :3, :3], t)
    share = inlier.sum(-1).double() / valid.sum(-1).clamp(min=1)
    return Registration(
        T_camera_object=torch.where(ok[:, None, None], T_camera_object, torch.eye(4).to(T)),
        inlier_share=torch.where(ok, share, 0.0),
        residual_m=torch.where(valid & ok[:, None], residual_m, torch.inf),
        ok=ok,
    )


def _nothing_found(valid: Bool[Tensor, "b n"]) -> Registration:
    nothing = torch.zeros(valid.shape[0], dtype=torch.float64, device=valid.device)
    return Registration(
        T_camera_object=torch.eye(4).to(nothing).repeat(len(valid), 1, 1),
        inlier_share=nothing,
        residual_m=torch.full(valid.shape, torch.inf).to(nothing),
        ok=nothing > 0,
    )


def _centred(
    points: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"]
) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b 3"]]:
    """Valid points minus their mean, float64, and that mean; the other points are zero."""
    clean = torch.where(valid.unsqueeze(-1), points.double(), 0.0)
    mean = clean.sum(1) / valid.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(valid.unsqueeze(-1), clean - mean.unsqueeze(1), 0.0), mean


def _best_draw(
    z: Float[Tensor, "b n 3"],
    x: Float[Tensor, "b n 3"],
    valid: Bool[Tensor, "b n"],
    *,
    config: RegistrationConfig,
) -> Float[Tensor, "b 4 4"]:
    drawn = hypotheses(z, x, draw_samples(valid, config))
    subset, counts = scoring_subset(valid, config.scoring_points)
    cost = truncated_cost(
        drawn, gather_points(z, subset), gather_points(x, subset), counts=counts, inlier_m=config.inlier_m
    )
    return drawn[torch.arange(len(drawn), device=drawn.device), cost.argmin(-1)]


def _refit(
    T: Float[Tensor, "b 4 4"],
    z: Float[Tensor, "b n 3"],
    x: Float[Tensor, "b n 3"],
    *,
    valid: Bool[Tensor, "b n"],
    config: RegistrationConfig,
) -> Float[Tensor, "b 4 4"]:
    """Refits with Tukey's biweight, its cut-off falling from 3 to 1 inlier_m.

    A pose with fewer than `MIN_POINTS` points within the cut-off is kept as it is.
    """
    pairs = _Pairs.of(z, x)
    for reach_m in torch.linspace(3.0, 1.0, config.refits).mul(config.inlier_m).tolist():
        squared = pairs.squared_residuals(T.unsqueeze(1))[:, 0]
        weights = (1 - (squared / reach_m**2).clamp(0, 1)).square() * valid
        enough = (weights > 0).sum(-1) >= MIN_POINTS
        T = torch.where(enough[:, None, None], pairs.fit(weights), T)
    return T


def _residual(
    T: Float[Tensor, "b 4 4"], z: Float[Tensor, "b n 3"], x: Float[Tensor, "b n 3"]
) -> Float[Tensor, "b n"]:
    return (apply(T, z) - x).norm(dim=-1)


def _spread(
    points: Float[Tensor, "b n 3"], counts: Bool[Tensor, "b n"], config: RegistrationConfig
) -> Bool[Tensor, " b"]:
    """Whether the selected points span at least a plane."""
    centred, _ = _centred(points, counts)
    covariance = centred.mT @ centred / counts.sum(-1).clamp(min=1)[:, None, None]
    eigenvalues = torch.linalg.eigvalsh(covariance)
    first, second = eigenvalues[:, 2], eigenvalues[:, 1]
    return (first > (MIN_SPREAD_RATIO * config.inlier_m) ** 2) & (second > MIN_SPREAD_RATIO**2 * first)


DRAWS, SAMPLE = 256, 4
REFITS = 10
LEAST_POINTS = 8
LEAST_SPREAD = 1e-3  # second principal spread as a share of the first; below it the points are collinear


@dataclass(frozen=True, eq=False)
class Similarity:
    """x = scale R z + t for most pairs (z, x).

    Args:
        T: (4, 4) with R and t.
        inlier_share: share of the pairs with a residual below `inlier_m`.
    """

    T: Float[np.ndarray, "4 4"]
    scale: float
    inlier_share: float


def fit_similarity(
    points_object: Float[np.ndarray, "n 3"],
    points_camera: Float[np.ndarray, "n 3"],
    *,
    inlier_m: float,
    scale: float | None = None,
) -> Similarity | None:
    """RANSAC over small samples, refitted to the inliers (closed form of Umeyama, PAMI 1991). Deterministic.

    Args:
        inlier_m: largest residual of an inlier, in units of `points_camera`.
        scale: the scale, where it is known; estimated where None.

    Returns:
        None where there are fewer than eight inliers, or where these lie on a line.
    """
    if len(points_object) < LEAST_POINTS:
        return None
    chosen = np.random.default_rng(0).integers(len(points_object), size=(DRAWS, SAMPLE))
    R, t, s = _solve(points_object[chosen], points_camera[chosen], scale)
    scored = np.linspace(0, len(points_object) - 1, min(len(points_object), 512)).astype(np.int64)
    moved = s[:, None, None] * (points_object[scored] @ R.swapaxes(1, 2)) + t[:, None]
    residual = np.linalg.norm(moved - points_camera[scored], axis=-1)
    best = int(np.minimum(residual, inlier_m).sum(axis=1).argmin())
    near = _near(points_object, points_camera, (R[best], t[best], float(s[best])), bound=2 * inlier_m)
    for _ in range(REFITS):
        z, x = points_object[near], points_camera[near]
        if len(z) < LEAST_POINTS or _on_a_line(z):
            return None
        rotations, shifts, scales = _solve(z[None], x[None], scale)
        solved = rotations[0], shifts[0], float(scales[0])
        again = _near(points_object, points_camera, solved, bound=inlier_m)
        if (again == near).all():
            break
        near = again
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = solved[0], solved[1]
    return Similarity(T, solved[2], float(near.mean()))


def _solve(
    z: Float[np.ndarray, "b n 3"], x: Float[np.ndarray, "b n 3"], scale: float | None
) -> tuple[Float[np.ndarray, "b 3 3"], Float[np.ndarray, "b 3"], Float[np.ndarray, " b"]]:
    z_mean, x_mean = z.mean(axis=1), x.mean(axis=1)
    z_off, x_off = z - z_mean[:, None], x - x_mean[:, None]
    left, sizes, right = np.linalg.svd(x_off.swapaxes(1, 2) @ z_off)
    sizes[:, 2] *= np.linalg.det(left) * np.linalg.det(right)
    left[:, :, 2] *= (np.linalg.det(left) * np.linalg.det(right))[:, None]  # a rotation, not a reflection
    R = left @ right
    power = np.maximum((z_off**2).sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    s = sizes.sum(axis=1) / power if scale is None else np.full(len(z), scale)
    return R, x_mean - s[:, None] * (R @ z_mean[..., None])[..., 0], s


def _near(
    z: Float[np.ndarray, "n 3"],
    x: Float[np.ndarray, "n 3"],
    solved: tuple[np.ndarray, np.ndarray, float],
    *,
    bound: float,
) -> np.ndarray:
    R, t, s = solved
    return np.linalg.norm(s * (z @ R.T) + t - x, axis=-1) < bound


def _on_a_line(points: Float[np.ndarray, "n 3"]) -> bool:
    spreads = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spreads[1] <= LEAST_SPREAD * spreads[0])
