"""A page as a reader meets it: its text by object, its pictures, and what a browser would fetch for it."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from crisp.geometry.camera import Camera
from crisp.output.report import Origin
from crisp.types import Mesh

CAMERA = Camera(np.array([[120.0, 0, 80], [0, 120.0, 60], [0, 0, 1]]), width=161, height=121)
ORIGIN = Origin("small <b>", "ab" * 32, {"look & light": "clean"})
SENTENCE = 'no <script>alert("x")</script> motion & no points.'


class Page(HTMLParser):
    """Text by article, and all that a browser would fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.articles: dict[str, str] = {}
        self.images: dict[str, str] = {}
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""
        self._article: str | None = None
        self._in_style = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self._in_style = tag == "style"
        self.fetched += [str(v) for k, v in attrs if k in ("src", "href", "srcset", "action", "data")]
        if tag == "article":
            self._article = str(named["id"])
            self.articles[self._article] = ""
        if tag == "img":
            self.images[f"{self._article or 'page'}: {named['alt']}"] = str(named["src"])

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        if tag == "article":
            self._article = None

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data
        if self._article:
            self.articles[self._article] += data


def picture(source: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))).convert("RGB"))


def box(extents_m: tuple[float, float, float]) -> Mesh:
    solid = trimesh.creation.box(extents_m)
    return Mesh(np.array(solid.vertices), np.array(solid.faces))


def pose(x: float, y: float, z: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, 3] = [x, y, z]
    return T
