from __future__ import annotations

import dataclasses

import pytest
import torch

from crisp.errors import InputError
from crisp.shape.library import ShapeLibrary


@pytest.fixture
def library() -> ShapeLibrary:
    return ShapeLibrary(
        names=("mug", "box", "can"),
        object_ids=(1, 5, 9),
        codes=torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 10.0]]),
        diameters_m=torch.tensor([0.1, 0.2, 0.3]),
    )


def test_nearest(library: ShapeLibrary) -> None:
    # (3, 8) is 4 from the box (3, 4), 3.6 = sqrt(9 + 4) from the can (0, 10) and 8.5 from the mug.
    index, distance = library.nearest(torch.tensor([3.0, 8.0]))
    assert (library.names[index], distance) == ("can", pytest.approx(13**0.5))


def test_a_known_code_is_its_own_nearest(library: ShapeLibrary) -> None:
    assert [library.nearest(code) for code in library.codes] == [(0, 0.0), (1, 0.0), (2, 0.0)]


def test_an_empty_library_has_no_nearest() -> None:
    empty = ShapeLibrary((), (), torch.zeros(0, 2), torch.zeros(0))
    assert len(empty) == 0
    with pytest.raises(InputError, match="empty"):
        empty.nearest(torch.zeros(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("mug", "box")}, "2, 3, 3 and 3"),
        ({"names": ("mug", "box", "mug")}, "name mug stands twice"),
        ({"object_ids": (1, 5, 5)}, "object id 5 stands twice"),
        ({"codes": torch.full((3, 2), float("nan"))}, "finite float32"),
        ({"codes": torch.zeros(3, 2, dtype=torch.float64)}, "finite float32"),
        ({"diameters_m": torch.tensor([0.1, 0.0, 0.3])}, "positive metres"),
    ],
)
def test_what_does_not_fit_is_refused(library: ShapeLibrary, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(library, **change)
