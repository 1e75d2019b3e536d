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


def test_what_is_near_one_object_has_its_name(library: ShapeLibrary) -> None:
    # The mug and the box are 5 apart, the can 6.7 = sqrt(9 + 36) from the box: half of that is near.
    codes = torch.tensor(
        [[0.0, 2.4], [0.0, 2.6], [3.0, 4.0], [0.0, 13.3], [0.0, 13.4], [1.5, 7.0], [90.0, 0.0]]
    )
    assert library.labels(codes) == ["mug", "unknown", "box", "can", "unknown", "unknown", "unknown"]


def test_an_empty_library_knows_nothing() -> None:
    empty = ShapeLibrary((), (), torch.zeros(0, 2), torch.zeros(0))
    assert len(empty) == 0
    assert empty.labels(torch.zeros(2, 2)) == ["unknown", "unknown"]


def test_the_only_object_that_there_is_is_the_nearest(library: ShapeLibrary) -> None:
    alone = ShapeLibrary(("mug",), (1,), library.codes[:1], library.diameters_m[:1])
    assert alone.labels(torch.tensor([[50.0, 0.0]])) == ["mug"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("mug", "box")}, "2, 3, 3 and 3"),
        ({"names": ("mug", "box", "mug")}, "name mug occurs twice"),
        ({"object_ids": (1, 5, 5)}, "object id 5 occurs twice"),
        ({"codes": torch.full((3, 2), float("nan"))}, "finite float32"),
        ({"codes": torch.zeros(3, 2, dtype=torch.float64)}, "finite float32"),
        ({"diameters_m": torch.tensor([0.1, 0.0, 0.3])}, "positive metres"),
    ],
)
def test_what_does_not_fit_is_refused(library: ShapeLibrary, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(library, **change)
