"""Reads pickle files of plain values and NumPy arrays without letting them run anything.

NOCS ships its poses, and others ship detections on it, as pickles. A pickle may name any callable and call
it; here the names of NumPy's own reconstruction are answered by records of ours, which only remember what
they are given, and every other name is refused. Arrays are made afterwards, from bytes that are checked: not
even NumPy's `__setstate__`, which trusts what it gets, is ever called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crisp.errors import InputError
from crisp.files import write_whole

PLAIN = (bool, int, float, complex, str, bytes, bytearray, type(None))
NUMERIC_KINDS = "biufcSU"  # no objects: their bytes would be addresses
BUILTINS = ("builtins", "__builtin__")  # of Python 3 and 2
NUMPY_CORES = ("numpy.core", "numpy._core")
DEEPEST = 50


def read_plain_pickle(path: Path) -> Any:
    """Lists, tuples, dictionaries, sets, numbers, text and numeric arrays; nothing in the file is executed.

    Raises:
        InputError: the file is missing or damaged, or names anything else, such as a function to call.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    try:
        # Python 2 wrote NumPy's bytes as text; in Latin-1 each character is its byte.
        return _arrays(_Unpickler(io.BytesIO(content), encoding="latin1").load(), depth=0)
    except _RefusedError as error:
        raise InputError(f"{path} is refused: {error}; only plain values and arrays are read.") from error
    except Exception as error:  # a damaged pickle fails in whichever way its opcodes stumble
        raise InputError(f"{path} is damaged or no pickle of plain values ({error}).") from error


def write_plain_pickle(path: Path, content: Any) -> None:
    """Write plain values and numeric arrays as NOCS's own files do; the file appears whole or not at all."""
    write_whole(path, pickle.dumps(content, protocol=2))


class _RefusedError(Exception):
    """The file asks for something that is no plain value."""


class _Unpickler(pickle.Unpickler):
    """Answers the names that NumPy's pickles hold, and refuses all others before anything is called."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        answer = _answer(module_name, global_name)
        if answer is None:
            raise _RefusedError(f"it wants to call {module_name}.{global_name}")
        return answer

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("it refers to objects outside the file")


def _answer(module: str, name: str) -> Callable[..., Any] | None:
    """A fresh function for each name, so that nothing of ours can be changed from within the file."""
    cores = {f"{core}.{part}" for core in NUMPY_CORES for part in ("multiarray", "numeric")}
    if (module, name) == ("numpy", "dtype"):
        return lambda text, *_: _Type(text)
    if (module, name) == ("numpy", "ndarray"):
        return lambda *_: None
    if module in cores and name == "_reconstruct":
        return lambda *_: _Array()
    if module in cores and name == "_frombuffer":
        return lambda data, kind, shape, order: _Array((1, shape, kind, order == "F", data))
    if module in cores and name == "scalar":
        return lambda kind, data: _Scalar(kind=kind, data=data)
    if (module, name) == ("_codecs", "encode"):
        return lambda text, *_: text.encode("latin1")  # how the older protocols hold bytes
    if module in BUILTINS and name == "bytes":
        return lambda: b""  # and how they hold none
    if module in BUILTINS and name == "set":
        return lambda items=(): set(items)
    return None


class _Type:
    """A NumPy type by its name, such as "f8", and the byte order that its state names."""

    def __init__(self, text: Any) -> None:
        self.text = text
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype:
        if not isinstance(self.text, str):
            raise _RefusedError(f"it holds an array of type {self.text!r}")
        kind = np.dtype(self.text)
        if kind.kind not in NUMERIC_KINDS or kind.fields is not None or kind.subdtype is not None:
            raise _RefusedError(f"it holds an array of type {self.text!r}")
        return kind.newbyteorder(">") if self.order == ">" else kind


class _Array:
    """Version, shape, type, whether columns come first, and the bytes."""

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def numpy(self) -> np.ndarray:
        _, shape, kind, columns_first, data = self.state
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(kind, _Type) or not isinstance(raw, bytes | bytearray):
            raise _RefusedError("it holds an array that is not one of numbers")
        flat = np.frombuffer(bytes(raw), dtype=kind.numpy())
        return flat.reshape(shape, order="F" if columns_first else "C").copy()


class _Scalar:
    """A type and the bytes of one number."""

    def __init__(self, kind: Any, data: Any) -> None:
        self.kind, self.data = kind, data

    def plain(self) -> Any:
        return _Array((1, (1,), self.kind, False, self.data)).numpy()[0].item()


def _arrays(value: Any, *, depth: int) -> Any:
    """The same values with arrays in the place of our records; whatever else is there is refused."""
    if depth > DEEPEST:
        raise _RefusedError(f"its containers are nested more than {DEEPEST} deep")
    if type(value) in PLAIN:
        return value
    if isinstance(value, _Array):
        return value.numpy()
    if isinstance(value, _Scalar):
        return value.plain()
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_arrays(item, depth=depth + 1) for item in value)
    if type(value) is dict:
        return {_arrays(k, depth=depth + 1): _arrays(v, depth=depth + 1) for k, v in value.items()}
    if isinstance(value, _Type):
        return value.numpy().str
    raise _RefusedError(f"it holds a {type(value).__name__}")
