"""Looks: the light, the camera's exposure and the depth sensor of a data set, drawn anew for each view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.ndimage import zoom

from crisp.render.depth_sensor import DepthSensor
from crisp.render.film import Exposure
from crisp.render.scene import Lamp, Light

LookName = Literal["clean", "hard", "direct"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """Ranges from which a view's light and camera are drawn.

    Args:
        samples: rays a pixel for path tracing; 0 renders direct light only, cheaply and smoothly.
        bounces: of traced light.
        lamps: fewest and most.
        lamp_radius_m: small lamps cast hard shadows.
        lamp_share: lamps' part of the light that falls on the table; the rest is from all round.
        tint: how far lamps and surroundings are from white, 0 to 1.
        brightness: what the exposure aims at (`Exposure.brightness`).
        balance: largest gain error of a channel.
        defocus_px, motion_px, read_noise, shot_noise: as in `Exposure`.
        clutter: fewest and most things that are in no list of objects.
        sensor: depth camera; None gives exact depth.
    """

    samples: int
    bounces: int
    lamps: tuple[int, int]
    lamp_radius_m: Range
    lamp_share: Range
    tint: float
    brightness: Range
    balance: float
    defocus_px: Range = (0.0, 0.0)
    motion_px: Range = (0.0, 0.0)
    read_noise: Range = (0.0, 0.0)
    shot_noise: Range = (0.0, 0.0)
    clutter: tuple[int, int] = (0, 0)
    sensor: DepthSensor | None = None


def look(name: LookName) -> Look:
    """`clean`: mild direct light and exact depth. `hard`: what real captures add to that. `direct`: `hard`
    without light that bounces, which takes more than half of the time."""
    if name == "clean":
        return Look(
            samples=0,
            bounces=1,
            lamps=(1, 2),
            lamp_radius_m=(0.08, 0.3),
            lamp_share=(0.25, 0.65),
            tint=0.12,
            brightness=(0.13, 0.3),
            balance=0.05,
        )
    traced = name == "hard"
    return Look(
        samples=6 if traced else 0,
        bounces=3 if traced else 1,
        lamps=(1, 3),
        lamp_radius_m=(0.01, 0.06),
        lamp_share=(0.6, 0.93),
        tint=0.55,
        brightness=(0.04, 0.55),
        balance=0.2,
        defocus_px=(0.0, 1.3),
        motion_px=(0.0, 5.0),
        read_noise=(0.003, 0.02),
        shot_noise=(0.01, 0.05),
        clutter=(2, 5),
        sensor=DepthSensor(),
    )


def draw_light(look: Look, rng: np.random.Generator) -> Light:
    """Lamps above the table and smooth surroundings, of such strengths that the table receives about 1."""
    share = rng.uniform(*look.lamp_share)
    count = int(rng.integers(look.lamps[0], look.lamps[1] + 1))
    parts = rng.dirichlet(np.full(count, 3.0)) * share
    lamps = tuple(_lamp(look, part, rng) for part in parts)
    return Light(lamps, _surroundings(look.tint, rng) * (1 - share) / np.pi)


def draw_exposure(look: Look, rng: np.random.Generator) -> Exposure:
    """Brightness is drawn evenly in its logarithm, the rest evenly."""
    low, high = np.log(look.brightness)
    angle, length = rng.uniform(0, np.pi), rng.uniform(*look.motion_px)
    return Exposure(
        brightness=float(np.exp(rng.uniform(low, high))),
        balance=rng.uniform(1 - look.balance, 1 + look.balance, 3),
        defocus_px=rng.uniform(*look.defocus_px),
        motion_px=(float(length * np.cos(angle)), float(length * np.sin(angle))),
        read_noise=rng.uniform(*look.read_noise),
        shot_noise=rng.uniform(*look.shot_noise),
    )


def _tint(strength: float, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    colour = 1 + strength * rng.uniform(-1, 1, 3)
    return colour / colour.mean()


def _lamp(look: Look, irradiance: float, rng: np.random.Generator) -> Lamp:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(35, 80))
    distance = min(rng.uniform(1.2, 2.2), 1.3 / np.cos(elevation))  # within the walls
    direction = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    radius = rng.uniform(*look.lamp_radius_m)
    # A ball of radiance L, radius r, at distance d gives what faces it the irradiance pi L (r / d)^2.
    radiance = irradiance / (np.pi * (radius / distance) ** 2 * np.sin(elevation))
    return Lamp(distance * np.array(direction), radius, radiance * _tint(look.tint, rng))


def _surroundings(tint: float, rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """A smooth map of mean radiance about 1, brighter above than below, (16, 32, 3)."""
    lumps = rng.uniform(0.4, 1.6, (4, 6, 1)) * (1 + tint * rng.uniform(-1, 1, (4, 6, 3)))
    lumps = np.concatenate([lumps, lumps[:, :1]], axis=1)  # the map's two ends meet
    smooth = np.asarray(zoom(lumps, (4, 32 / 7, 1), order=1, mode="nearest"))
    height = np.linspace(1.3, 0.7, smooth.shape[0])[:, None, None]
    return np.maximum(smooth * height, 0.0).astype(np.float32)
