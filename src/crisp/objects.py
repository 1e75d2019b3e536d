"""What is known of an object beforehand: its mesh, its looks, its symmetries. Metres, object frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, UInt8

from crisp.types import Mesh


@dataclass(frozen=True, eq=False)
class Symmetries:
    """Motions of an object's frame that leave shape and looks unchanged (BOP's two kinds).

    Args:
        discrete: 4x4 transforms (metres), the identity left out.
        continuous: (axis, offset) pairs: turning about the axis (unit vector) through the offset (metres).
    """

    discrete: tuple[Float[np.ndarray, "4 4"], ...] = ()
    continuous: tuple[tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]], ...] = ()

    @property
    def none(self) -> bool:
        return not self.discrete and not self.continuous


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh for rendering: vertices are split along seams, so each has one texture coordinate.

    Args:
        uv: (V, 2) float; (0, 0) is the image's lower left corner (OpenGL, Wavefront OBJ).
        texture: (h, w, 3) uint8 sRGB, first row on top.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "v 2"]
    texture: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """One known object.

    Args:
        name: unique, lower case, such as "mug_tall_red".
        kind: the category, such as "mug".
        mesh: watertight, for geometry (distances, targets, scores).
        surface: the same surface, for pictures.
        symmetries: declared, of shape and looks together.
        rest: rotations (3, 3) that turn the object frame into ways in which it rests on a table (z up);
            the first is the usual one.
        roughness: of the surface, 0.05 (polish) to 1 (matt).
    """

    name: str
    kind: str
    mesh: Mesh
    surface: TexturedMesh
    symmetries: Symmetries = field(default_factory=Symmetries)
    rest: tuple[Float[np.ndarray, "3 3"], ...] = (np.eye(3),)
    roughness: float = 0.5
