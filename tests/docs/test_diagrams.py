# SPDX-License-Identifier: MIT
"""Diagrams: no label touches a line, a box or another label."""

import importlib
import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from target import fastmq_only

pytestmark = fastmq_only("of the repository")

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
LETTER, ASCENT, DESCENT = 6.5, 9.5, 2.5  # of 12 px, rather too large than too small


@pytest.fixture
def generator(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("gen_diagrams")


def turned(point, degrees, around):
    angle = math.radians(degrees)
    x, y = point[0] - around[0], point[1] - around[1]
    cos, sin = math.cos(angle), math.sin(angle)
    return (around[0] + x * cos - y * sin, around[1] + x * sin + y * cos)


def along(a, b, steps=200):
    """Points of a line."""
    for n in range(steps + 1):
        yield (a[0] + (b[0] - a[0]) * n / steps, a[1] + (b[1] - a[1]) * n / steps)


class Label:
    """Words along an arrow."""

    def __init__(self, element):
        self.text = element.text
        self.at = float(element.get("x")), float(element.get("y"))
        found = re.match(r"rotate\(([-\d.]+) ", element.get("transform", ""))
        self.degrees = float(found[1]) if found else 0.0
        self.half = LETTER * len(self.text) / 2

    def covers(self, point):
        x, y = turned(point, -self.degrees, self.at)
        x, y = x - self.at[0], y - self.at[1]
        return abs(x) <= self.half and -ASCENT <= y <= DESCENT

    def points(self):
        x, y = self.at
        for dy in (-ASCENT, -ASCENT / 2, DESCENT):
            for point in along((x - self.half, y + dy), (x + self.half, y + dy), 40):
                yield turned(point, self.degrees, self.at)


def touching(svg):
    """What labels of a picture touch, in words."""
    picture = ElementTree.fromstring(svg)
    labels = [
        Label(t) for t in picture.iter(f"{SVG}text") if t.get("font-size") == "12" and is_label(t)
    ]
    lines = [
        [tuple(float(line.get(name)) for name in (f"x{n}", f"y{n}")) for n in (1, 2)]
        for line in picture.iter(f"{SVG}line")
    ]
    _, *boxes = [
        [float(r.get(name, 0)) for name in ("x", "y", "width", "height")]
        for r in picture.iter(f"{SVG}rect")
    ]
    for label in labels:
        if any(label.covers(point) for line in lines for point in along(*line)):
            yield f"{label.text!r} touches a line"
        for x, y, width, height in boxes:
            if any(x <= px <= x + width and y <= py <= y + height for px, py in label.points()):
                yield f"{label.text!r} touches a box"
    for one, other in itertools.combinations(labels, 2):
        if any(other.covers(point) for point in one.points()):
            yield f"{one.text!r} touches {other.text!r}"


def is_label(element):
    return element.get("fill") == "#2f6f9f"


def test_no_label_touches_anything(generator):
    for name, diagram in generator.DIAGRAMS.items():
        svg = generator.draw(diagram)
        assert list(touching(svg)) == [], name
        words = {word for arrow in diagram.arrows for word in (arrow.there, arrow.back) if word}
        assert all(f">{word}</text>" in svg for word in words), name


def test_words_fit_their_boxes(generator):
    for name, diagram in generator.DIAGRAMS.items():
        for box in diagram.boxes:
            assert generator.title_width(box.title) < box.width, (name, box.title)
            assert generator.text_width(box.role) < box.width, (name, box.role)


def test_a_label_on_a_line_is_seen(generator):
    svg = generator.draw(generator.DIAGRAMS["pair"])
    label = next(t for t in ElementTree.fromstring(svg).iter(f"{SVG}text") if is_label(t))
    y = float(label.get("y"))
    assert list(touching(svg.replace(f'y="{y:.1f}"', f'y="{y + 12:.1f}"', 1)))
