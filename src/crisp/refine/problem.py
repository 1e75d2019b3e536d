"""The corrector's problem (method, section 4): what was measured, an answer under way, and its objective.

(5) asks for pose and shape such that the measured points lie on the shape; (7) asks for object points Z and
a shape, the pose being the registration of Z to the measurement. By Lemma 5 their optima are equal. A
`State` holds both views of an answer: Z and the pose that belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crisp.errors import InputError
from crisp.geometry import pose
from crisp.geometry.points import scoring_subset, take_points
from crisp.shape.sdf import SignedDistance


@dataclass(frozen=True, eq=False)
class Observation:
    """What was measured of a batch of objects; rows are padded to one length.

    Args:
        points_camera: (B, N, 3) metres, camera frame; padding must be finite.
        valid: (B, N): the points that count. Padding never enters an objective, a quantile or a weight.

    Raises:
        ValueError: sizes that differ.
    """

    points_camera: Float[Tensor, "b n 3"]
    valid: Bool[Tensor, "b n"]

    def __post_init__(self) -> None:
        if self.points_camera.shape[:2] != self.valid.shape:
            raise ValueError(f"points {tuple(self.points_camera.shape)} but valid {tuple(self.valid.shape)}")

    def counts(self) -> Float[Tensor, " b"]:
        """Number of points that count, at least 1 so that it can divide."""
        return self.valid.sum(-1).clamp(min=1).to(self.points_camera)

    def take(self, index: Tensor) -> Observation:
        """The objects at `index` (a long or a boolean tensor)."""
        return Observation(self.points_camera[index], self.valid[index])


def fewer_points(
    observation: Observation, pnc: Float[Tensor, "b n 3"], most: int
) -> tuple[Observation, Float[Tensor, "b m 3"]]:
    """At most `most` of each object's valid points, evenly spaced among them, and Z of the same ones."""
    index, counts = scoring_subset(observation.valid, most)
    points = take_points(observation.points_camera, index, counts)
    return Observation(points, counts), take_points(pnc, index, counts)


@dataclass(frozen=True, eq=False)
class State:
    """An answer under way, for a batch of objects.

    Args:
        pnc: Z, (B, N, 3) metres, object frame, row by row the observation's points.
        T_camera_object: (B, 4, 4), the registration of Z to the measured points, or, after a step on SE(3),
            the pose under which Z is exactly the measured points (then both views are one).
        shape_code: (B, C).
    """

    pnc: Float[Tensor, "b n 3"]
    T_camera_object: Float[Tensor, "b 4 4"]
    shape_code: Float[Tensor, "b c"]

    def take(self, index: Tensor) -> State:
        """The objects at `index`."""
        return State(self.pnc[index], self.T_camera_object[index], self.shape_code[index])

    def put(self, index: Tensor, rows: State) -> State:
        """A copy with other rows at `index`."""
        return State(
            self.pnc.index_copy(0, index, rows.pnc),
            self.T_camera_object.index_copy(0, index, rows.T_camera_object),
            self.shape_code.index_copy(0, index, rows.shape_code),
        )

    def where(self, chosen: Bool[Tensor, " b"], other: State) -> State:
        """This state where chosen, `other` elsewhere; always a copy."""
        return State(
            torch.where(chosen[:, None, None], self.pnc, other.pnc),
            torch.where(chosen[:, None, None], self.T_camera_object, other.T_camera_object),
            torch.where(chosen[:, None], self.shape_code, other.shape_code),
        )

    def posed(self, T_camera_object: Float[Tensor, "b 4 4"], observation: Observation) -> State:
        """The state whose Z is the measurement seen from the object under another pose."""
        return replace(self, pnc=object_points(T_camera_object, observation), T_camera_object=T_camera_object)


@dataclass(frozen=True, eq=False)
class ShapeBasis:
    """The shapes that the shape step may mix (method, section 4).

    Args:
        library: S, (K, C), one code per known object.
        diameters_m: (K,) metres, of their bounding boxes: 1 / d_k for D.
        network: h_0 = f_e(I), (B, C), the network's own code of each object.
        network_diameters_m: (B,) of h_0's bounding boxes; measured when they are needed if they are None.

    Raises:
        InputError: no known shape, or codes of different lengths.
    """

    library: Float[Tensor, "k c"]
    diameters_m: Float[Tensor, " k"]
    network: Float[Tensor, "b c"]
    network_diameters_m: Float[Tensor, " b"] | None = None

    def __post_init__(self) -> None:
        if len(self.library) == 0:
            raise InputError("the checkpoint has no shape library: the corrector has no shapes to mix.")
        if self.library.shape[1] != self.network.shape[1] or len(self.library) != len(self.diameters_m):
            raise InputError(
                f"the shape library has {tuple(self.library.shape)} codes and {len(self.diameters_m)} "
                f"diameters, the network's codes are {tuple(self.network.shape)}: they do not fit together."
            )

    def take(self, index: Tensor) -> ShapeBasis:
        """The same library for the objects at `index`."""
        sizes = self.network_diameters_m
        return replace(
            self,
            network=self.network[index],
            network_diameters_m=None if sizes is None else sizes[index],
        )


@dataclass(frozen=True, eq=False)
class PooledPoints:
    """Object points of the same objects from other frames, for the shape step alone (Remark 3).

    Args:
        pnc: (B, M, 3) metres, object frame; padding must be finite.
        valid: (B, M).
    """

    pnc: Float[Tensor, "b m 3"]
    valid: Bool[Tensor, "b m"]

    def take(self, index: Tensor) -> PooledPoints:
        """The objects at `index`."""
        return PooledPoints(self.pnc[index], self.valid[index])


def with_pool(
    pnc: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"], pool: PooledPoints | None
) -> tuple[Float[Tensor, "b m 3"], Bool[Tensor, "b m"]]:
    """This frame's object points with those of the others behind them, and which count."""
    if pool is None:
        return pnc, valid
    return torch.cat([pnc, pool.pnc.to(pnc)], dim=1), torch.cat([valid, pool.valid], dim=1)


@runtime_checkable
class Kernel(Protocol):
    """How much a point at distance r counts: objective sum of rho(r); rho(r) = r^2 is (5) and (7) themselves.

    `weights` are those of iteratively reweighted least squares, rho'(r) / (2 r), always without gradient:
    a gradient through a threshold would multiply that of the points that define it.
    """

    def rho(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]: ...

    def weights(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]: ...


@dataclass(frozen=True)
class Squares:
    """rho(r) = r^2: equations (5) and (7) as they stand."""

    def rho(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return distance_m.square()

    def weights(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return torch.ones_like(distance_m).detach()


def _check_scale(scale_m: float) -> None:
    if not scale_m > 0:
        raise InputError(f"the kernel's scale_m must be a positive length, got {scale_m}.")


@dataclass(frozen=True)
class Truncated:
    """rho(r) = min(r^2, c^2): how far off a point is beyond c makes no difference, as it is not the object's.

    For comparing answers: it has minima of its own, which a descent would stay in.

    Args:
        scale_m: c, metres.
    """

    scale_m: float = 0.01

    def __post_init__(self) -> None:
        _check_scale(self.scale_m)

    def rho(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return distance_m.square().clamp(max=self.scale_m**2)

    def weights(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return (distance_m.detach().abs() < self.scale_m).to(distance_m)


@dataclass(frozen=True)
class SoftL1:
    """rho(r) = 2 c^2 (sqrt(1 + (r/c)^2) - 1): r^2 near 0, 2 c |r| far away; convex, so it adds no minima.

    Args:
        scale_m: c, metres, where squares turn into straight lines.
    """

    scale_m: float = 0.005

    def __post_init__(self) -> None:
        _check_scale(self.scale_m)

    def rho(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        # Written without the difference, which loses all digits of distances below scale_m / 1000 in float32.
        return 2 * distance_m.square() / ((1 + (distance_m / self.scale_m).square()).sqrt() + 1)

    def weights(self, distance_m: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return (1 + (distance_m.detach() / self.scale_m).square()).rsqrt()


def object_points(
    T_camera_object: Float[Tensor, "b 4 4"], observation: Observation
) -> Float[Tensor, "b n 3"]:
    """The measured points in the object frame, metres: R* x + t* of the paper; in the points' dtype."""
    points = observation.points_camera
    return pose.apply(pose.inverse(T_camera_object).to(points), points)


def objective(
    field: SignedDistance, state: State, observation: Observation, *, kernel: Kernel
) -> Float[Tensor, " b"]:
    """(7) per object, over its number of points, in square metres: mean of rho(f(R* x_i + t* | h)).

    Differentiable with respect to pose and code. Z enters through its registration, as in (7).
    """
    valid = observation.valid
    points = torch.where(valid[..., None], object_points(state.T_camera_object, observation), 0.0)
    return mean_rho(field(points, state.shape_code), valid, kernel)


def masked_quantile(
    values: Float[Tensor, "b n"], valid: Bool[Tensor, "b n"], q: float
) -> Float[Tensor, " b"]:
    """The q-quantile of each row's valid values, interpolated, without gradient; NaN where there are none."""
    with torch.no_grad():
        ordered = torch.where(valid, values, torch.inf).sort(-1).values
        count = valid.sum(-1, keepdim=True)
        at = q * (count - 1).clamp(min=0).to(values)
        low = at.floor().long()
        high = torch.minimum(low + 1, (count - 1).clamp(min=0))
        below, above = ordered.gather(-1, low), ordered.gather(-1, high)
        found = torch.lerp(below, above, at - low)
        return torch.where(count > 0, found, torch.nan)[:, 0]


def mean_rho(
    distance_m: Float[Tensor, "b n"],
    valid: Bool[Tensor, "b n"],
    kernel: Kernel,
    *,
    trim_quantile: float | None = None,
) -> Float[Tensor, " b"]:
    """Mean of rho over the valid points, or over those within the quantile of |distance|.

    The quantile is a number, not a function: a gradient through it would pull the few points that define it
    instead of all that it lets in.
    """
    if trim_quantile is not None:
        size = distance_m.detach().abs()
        valid = valid & (size <= masked_quantile(size, valid, trim_quantile)[:, None])
    rho = torch.where(valid, kernel.rho(distance_m), 0.0)
    return rho.sum(-1) / valid.sum(-1).clamp(min=1).to(distance_m)
