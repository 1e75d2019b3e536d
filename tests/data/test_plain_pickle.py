"""Pickles: plain values and arrays come back equal, and nothing in a file is ever run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crisp.data.plain_pickle import read_plain_pickle, write_plain_pickle
from crisp.errors import InputError

PLAIN: dict[str, Any] = {
    "floats": np.arange(12.0).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "masks": np.array([[True, False], [False, True]]),
    "big endian": np.array([1.5, -2.0], dtype=">f4"),
    "empty": np.zeros((0, 4, 4)),
    "names": np.array(["mug", "can"]),
    "scalar": np.float64(0.25),
    "nested": [1, (2.5, "three", None), {"four": b"\x00\xff"}, {5}],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_come_back_equal_from_every_protocol(tmp_path: Path, name: str, protocol: int) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(PLAIN[name], protocol=protocol))
    found = read_plain_pickle(path)
    if isinstance(PLAIN[name], np.ndarray):
        assert found.dtype == PLAIN[name].dtype
        np.testing.assert_array_equal(found, PLAIN[name])
        found[...] = found  # writable: it does not lie in the file's bytes
    else:
        assert found == PLAIN[name]


def test_what_we_write_is_read_back(tmp_path: Path) -> None:
    write_plain_pickle(tmp_path / "a.pkl", {"gt_RTs": np.eye(4)[None], "ids": [1, 2]})
    found = read_plain_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(found["gt_RTs"], np.eye(4)[None])
    assert found["ids"] == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"]


class Caller:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_file_that_calls_something_is_refused_and_calls_nothing(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "executed"
    attacks: list[Any] = [
        Caller(os.system, f"touch {witness}"),
        Caller(eval, f"__import__('os').mkdir({str(witness)!r})"),
        Caller(os.mkdir, str(witness)),
        {"pred_masks": [Caller(os.mkdir, str(witness))]},
    ]
    for attack in attacks:
        path = tmp_path / "attack.pkl"
        path.write_bytes(pickle.dumps(attack, protocol=protocol))
        with pytest.raises(InputError, match=r"attack.pkl is refused: it wants to call \w+\.\w+; only plain"):
            read_plain_pickle(path)
        assert not witness.exists()
        pickle.loads(path.read_bytes())  # the file is a real attack: an open reader does run it
        assert witness.exists()
        witness.rmdir() if witness.is_dir() else witness.unlink()


class Forged(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.array([{}, None], dtype=object), "not one of numbers"),
        (np.zeros(2, dtype=[("a", "f4")]), "type 'V4'"),
        (np.zeros(2).view(Forged), "wants to call .*Forged"),
        (OrderedDict(a=1), "wants to call collections.OrderedDict"),
        (np.zeros, "wants to call numpy.zeros"),
        (Path("a"), "wants to call pathlib"),
    ],
)
def test_what_is_no_plain_value_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(InputError, match=words):
        read_plain_pickle(tmp_path / "a.pkl")


def test_an_array_of_objects_cannot_be_forged_from_bytes(tmp_path: Path) -> None:
    """NumPy would take the bytes of an object array as addresses once the type's flags are set to 0."""
    honest = pickle.dumps(np.arange(2, dtype=np.int64), protocol=2)
    forged = honest.replace(b"X\x02\x00\x00\x00i8", b"X\x02\x00\x00\x00O8")
    assert forged != honest
    (tmp_path / "a.pkl").write_bytes(forged)
    with pytest.raises(InputError, match="refused: it holds an array of type 'O8'"):
        read_plain_pickle(tmp_path / "a.pkl")


def test_every_cut_of_a_good_file_is_one_sentence(tmp_path: Path) -> None:
    content = pickle.dumps({"masks": np.ones((3, 2), dtype=bool), "scores": [0.5]}, protocol=2)
    path = tmp_path / "a.pkl"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"a\.pkl is (damaged|refused)"):
            read_plain_pickle(path)
    with pytest.raises(InputError, match=r"cannot read .*missing.pkl: No such file"):
        read_plain_pickle(tmp_path / "missing.pkl")
