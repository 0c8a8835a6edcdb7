"""The drawn faces as pictures: shapes painted back to front, moved by facial action units.

Face coordinates: x to the right, y down, the origin between eyes and mouth, 1 = half the width of the picture. Shapes
are signed distances [n, size, size], negative inside; both halves of a face are computed at once from `side = |x|`.
Parameters `p` hold one value per face, [n, 1, 1]; tones run from 0 (black) to 1 (white). The two styles are ranges of
the same parameters (`fer.data.datasets.drawn.STYLE_RANGES`): without light and with lines a face is an ink drawing.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

Array = np.ndarray
Tone = Array | float


@dataclass
class Canvas:
    """Tones that are painted over in place, and the face coordinates of each pixel, [n, size, size] each."""

    tones: Array
    x: Array
    y: Array
    pixels: Array  # per face unit, [n, 1, 1]
    line: Array  # width of outlines in face units, [n, 1, 1]; 0 draws none
    ink: Array  # their tone, [n, 1, 1]

    @property
    def side(self) -> Array:
        return np.abs(self.x)

    def fill(self, distance: Array, tone: Tone, opacity: Tone = 1.0) -> None:
        """Fill the inside of a shape; its edge fades over a pixel."""
        self.tones += (tone - self.tones) * np.clip(0.5 - distance * self.pixels, 0, 1) * opacity

    def shape(self, distance: Array, tone: Tone, opacity: Tone = 1.0) -> None:
        """Fill a shape, and ink its outline where the style has lines."""
        self.fill(distance, tone, opacity)
        if self.line.any():
            self.fill(np.abs(distance) - self.line / 2, self.ink, opacity)


def render(p: SimpleNamespace, rng: np.random.Generator, size: int) -> Array:
    """Pictures of n faces, uint8 [n, size, size]; the noise of the camera comes from `rng`.

    Yaw and pitch move the middle of a face and leave its outline, so that one side is squeezed.
    """
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1)[None]
    column, row = axis[:, None, :] - p.shift_x, axis[:, :, None] - p.shift_y
    cos, sin = np.cos(p.roll) / p.scale, np.sin(p.roll) / p.scale
    x, y = cos * column + sin * row, cos * row - sin * column
    depth = np.clip(1 - (x / 0.95) ** 2 - (y / 1.1) ** 2, 0, None)
    ground = p.background + 0.15 * (x * p.light_x + y * p.light_y)
    canvas = Canvas(ground, x - p.yaw * depth, y - p.pitch * depth, p.scale * size / 2, p.line_width, p.ink)
    light = paint_head(canvas, p)
    paint_folds(canvas, p)
    paint_nose(canvas, p, light)
    paint_mouth(canvas, p, light)
    paint_eyes(canvas, p, light)
    paint_hair(canvas, p, light)
    along = canvas.x * np.cos(p.bar_angle) + canvas.y * np.sin(p.bar_angle)
    canvas.fill(np.abs(along - p.bar_offset) - 0.08, p.bar_tone, p.bar)
    return photograph(canvas.tones, p, rng)


def bump(x: Array, y: Array, width: Tone, height: Tone) -> Array:
    """A smooth hill of height 1 and the given half-axes, zero outside."""
    return np.clip(1 - (x / width) ** 2 - (y / height) ** 2, 0, None) ** 2


def ellipse(x: Array, y: Array, width: Tone, height: Tone) -> Array:
    """Approximate signed distance to an ellipse with the given half-axes."""
    return (np.sqrt((x / width) ** 2 + (y / height) ** 2) - 1) * np.minimum(width, height)


def stroke(x: Array, y: Array, start: tuple[Tone, Tone], end: tuple[Tone, Tone]) -> Array:
    """Strength of a soft line from `start` to `end`, each (x, y): 1 in its middle, 0 at 0.04 from it."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    t = np.clip(((x - start[0]) * along_x + (y - start[1]) * along_y) / (along_x**2 + along_y**2), 0, 1)
    return np.clip(1 - np.hypot(x - start[0] - t * along_x, y - start[1] - t * along_y) / 0.04, 0, None)


def paint_head(canvas: Canvas, p: SimpleNamespace) -> Array:
    """Long hair, neck, ears and head; returns the light on the skin, [n, size, size]."""
    x, y, side = canvas.x, canvas.y, canvas.side
    height = np.where(y > 0, p.chin + 0.1 * p.au26, 1.12)  # the jaw drops
    v = y / height
    u = x / p.head_width * (1 + p.jaw_taper * np.clip(v, 0, 1.2) ** 2)
    radius = np.sqrt(u**2 + v**2)
    depth = np.sqrt(np.clip(1 - radius**2, 0.04, None))
    light = np.clip(u * p.light_x + v * p.light_y + depth * p.light_z, 0, 1.1)
    light = 1 - p.light_strength + p.light_strength * light
    canvas.shape(ellipse(side, np.minimum(y + 0.1, 0), p.head_width + 0.16, 1.08), 0.8 * p.hair_tone, p.long_hair)
    canvas.shape(np.maximum(side - 0.5 * p.head_width, 0.4 - y), p.skin * (0.85 - 0.2 * p.light_strength))
    canvas.shape(ellipse(side - p.head_width - 0.01, y + 0.05, 0.09, 0.2), 0.85 * p.skin * light, 1 - p.long_hair)
    relief = 0.14 * bump(side - 0.43, y - 0.17 + 0.06 * p.au6, 0.28, 0.2) * (0.2 + p.au6 + 0.5 * p.au12)
    relief -= 0.2 * bump(side - p.eye_x + 0.03, y - p.eye_y + 0.05, 0.27, 0.19)  # the sockets
    canvas.shape((radius - 1) * 0.85, p.skin * light * (1 + 1.5 * p.light_strength * relief))
    return light


def paint_folds(canvas: Canvas, p: SimpleNamespace) -> None:
    """Folds of the skin between and above the brows, beside the nose, and on the chin."""
    x, y, side = canvas.x, canvas.y, canvas.side
    brow_y = p.eye_y - p.brow_height - 0.13
    lines = np.clip(np.cos((y - brow_y + 0.25 * x * x) * 42), 0, None) ** 2
    folds = 0.7 * bump(x, y - brow_y + 0.07, 0.3 + 0.25 * p.au2, 0.2) * lines * (p.au1 + 0.5 * p.au2)
    folds += 1.2 * stroke(side, y, (0.075, p.eye_y - 0.24), (0.055, p.eye_y - 0.08)) * (p.au4 + 0.3 * p.au9)
    folds += bump(x, y - p.eye_y - 0.03, 0.14, 0.2) * np.clip(np.cos((y - p.eye_y) * 48 + 10 * side), 0, None) * p.au9
    wing = (p.nose_width + 0.03, p.nose_y - 0.06 - 0.04 * p.au9)
    cheek = (p.mouth_width * (1.12 + 0.35 * p.au12 + 0.25 * p.au20) + 0.04, p.mouth_y - 0.04)
    depth = 0.12 + 0.25 * p.age + 0.55 * p.au12 + 0.75 * p.au9 + 0.6 * p.au10 + 0.25 * p.au20
    folds += stroke(side, y, wing, cheek) * np.minimum(depth, 1.1)
    folds += 0.3 * bump(x, y - p.mouth_y - 0.27, 0.22, 0.13) * p.au17
    canvas.tones += (p.fold_tone * p.skin - canvas.tones) * np.clip(p.folds * folds, 0, 0.9)


def paint_nose(canvas: Canvas, p: SimpleNamespace, light: Array) -> None:
    """The nose wrinkler (AU9) and the upper lip raiser (AU10) lift and widen the wings."""
    x, y, side = canvas.x, canvas.y, canvas.side
    base = p.nose_y - 0.05 * p.au9 - 0.02 * p.au10
    width = p.nose_width * (1 + 0.18 * p.au9 + 0.08 * p.au12 + 0.08 * p.au10)
    along = (y - p.eye_y) / (base - p.eye_y)
    s = x / (0.07 + 0.55 * width * np.clip(along, 0, 1.15))  # -1 and 1 at the edges of its bridge
    bridge = s * np.clip(1 - s * s / 3, 0, None) ** 2 * np.clip(1 - (2 * along - 1.05) ** 2 * 0.75, 0, None)
    tip = bump(x - 0.02 * np.sign(p.light_x), y - base + 0.07, 0.09, 0.09)
    canvas.tones += p.skin * p.light_strength * (0.8 * p.light_x * bridge + 0.27 * tip)
    wings = np.abs(np.hypot((side - width * 0.72) / 0.8, y - base + 0.035) - 0.055)
    wings = np.maximum(wings, 0.72 * width - side) - np.maximum(0.01, p.line_width / 2)
    canvas.fill(wings, np.where(p.line_width > 0, p.ink, p.skin * light * 0.6), 0.75)
    canvas.fill(ellipse(side - 0.5 * width, y - base - 0.01, 0.04, 0.022), p.skin * 0.25, 0.85)


def paint_mouth(canvas: Canvas, p: SimpleNamespace, light: Array) -> None:
    """Upper lip raiser (AU10), lip corner puller (AU12) and depressor (AU15), chin raiser (AU17), lip stretcher (AU20),
    lip tightener (AU23), lips part (AU25), jaw drop (AU26)."""
    y, side = canvas.y, canvas.side
    gap = (0.085 + 0.05 * p.au12) * p.au25 + 0.2 * p.au26
    narrow = 0.12 * p.au23 + 0.2 * p.au26 + 0.08 * p.au17
    corner_x = p.mouth_width * (1 + 0.3 * p.au12 + 0.34 * p.au20 + 0.05 * p.au15 - narrow)
    corner_y = p.mouth_y - 0.012 + 0.22 * gap - 0.12 * p.au12 + 0.11 * p.au15 + 0.02 * p.au23 - 0.02 * p.au9
    middle = p.mouth_y + 0.004 + 0.035 * p.au12 - 0.05 * p.au15 - 0.045 * p.au17 - 0.01 * p.au10
    s = side / corner_x
    arch = np.clip(1 - s * s, 0, None)
    full = arch * (1 + np.clip(0.9 * p.au20 + 0.8 * p.au10 + 0.7 * p.au23, 0, 0.9) * s * s)
    upper = corner_y + (middle - 0.15 * gap - 0.07 * p.au10 - 0.03 * p.au9 - corner_y) * full
    lower = corner_y + (middle + 0.85 * gap - corner_y) * full
    thin = np.clip(1 - 0.65 * p.au23 - 0.25 * p.au12 - 0.2 * p.au20, 0.12, None)
    edge = np.sqrt(arch) * (0.5 + 0.5 * arch)
    top, bottom = upper - 0.8 * p.lip * thin * edge, lower + p.lip * (thin + 0.35 * p.au17) * edge
    beyond, lip = side - corner_x, p.skin * light * p.lip_tone
    canvas.fill(np.maximum(np.maximum(top - y, y - bottom), beyond), 0.92 * lip)
    canvas.fill(np.maximum(np.maximum(lower - y, y - bottom), beyond), 1.15 * lip, 0.8)
    opening = np.maximum(np.maximum(upper - y, y - lower), beyond)
    canvas.fill(opening - p.line_width / 4, 0.1 * p.skin)
    tooth = 0.02 + 0.075 * p.au12 + 0.07 * p.au10 + 0.05 * p.au23
    canvas.fill(np.maximum(opening + 0.012, y - upper - tooth), 0.9 * light)


def paint_eyes(canvas: Canvas, p: SimpleNamespace, light: Array) -> None:
    """Upper lid raiser (AU5), cheek raiser (AU6), lid tightener (AU7); inner brow raiser and lowerer slant the lids."""
    x, y, side = canvas.x, canvas.y, canvas.side
    s = (side - p.eye_x) / p.eye_width
    arch, beyond = np.clip(1 - s * s, 0, None), (np.abs(s) - 1) * p.eye_width
    middle = p.eye_y - p.eye_tilt * s * p.eye_width
    raised = np.clip(p.lids + 0.8 * p.au5 - 0.35 * p.au7 - 0.25 * p.au6 - 0.15 * p.au4, 0.12, None)
    lowered = np.clip(0.62 + 0.12 * p.au5 - 0.4 * p.au7 - 0.42 * p.au6, 0.1, None)
    slant = np.clip(0.5 * p.au1 - 0.3 * p.au4 - 0.15 * p.au7, -0.5, 0.5)
    upper = middle - p.eye_height * raised * arch * (1 - slant * s)
    lower = middle + p.eye_height * lowered * arch
    opening = np.maximum(np.maximum(upper - y, y - lower), beyond)
    gaze_x, gaze_y = side - p.eye_x - p.gaze_x * np.sign(x), y - p.eye_y - p.gaze_y + 0.25 * p.eye_height
    iris = np.hypot(gaze_x, gaze_y)
    canvas.shape(opening, 0.5 + 0.42 * light)
    canvas.fill(np.maximum(iris - p.iris_radius, opening), p.iris_tone)
    canvas.fill(np.maximum(iris - 0.45 * p.iris_radius, opening), 0.03)
    canvas.fill(np.maximum(np.abs(y - upper), beyond - 0.015) - np.maximum(0.022, 0.8 * p.line_width), 0.08)


def paint_hair(canvas: Canvas, p: SimpleNamespace, light: Array) -> None:
    """Hair, longer at the temples; brows: inner and outer raiser (AU1, AU2) and lowerer (AU4); glasses."""
    x, y, side = canvas.x, canvas.y, canvas.side
    temple = np.clip((side - 0.78 * p.head_width) / 0.14, 0, 1)
    fringe = p.hairline + p.part * x + p.fringe_bow * x * x
    fringe += (p.sideburn - fringe) * temple * temple * (3 - 2 * temple)
    strands = 0.65 + 0.35 * light + p.light_strength * 0.2 * np.sin(35 * x * (1.3 - 0.5 * y))
    canvas.shape(np.maximum(ellipse(x, y, p.head_width + 0.07, 1.15), y - fringe), p.hair_tone * strands)
    level = p.eye_y - p.brow_height
    inner = level + 0.02 - 0.13 * p.au1 + 0.12 * p.au4 + 0.03 * p.au9
    middle = level - p.brow_arch - 0.07 * p.au1 - 0.08 * p.au2 + 0.07 * p.au4 + 0.02 * p.au9
    outer = level + 0.035 - 0.13 * p.au2 + 0.02 * p.au4 + 0.03 * p.au1
    t = (side - p.eye_x + 0.21 + 0.06 * p.au4) / 0.46
    curve = inner * (1 - t) * (1 - 2 * t) + 4 * middle * t * (1 - t) + outer * t * (2 * t - 1)
    brow = np.maximum(np.abs(y - curve) - p.brow_thickness * (1 - 0.65 * t * t), 0.46 * (np.abs(t - 0.5) - 0.5))
    canvas.fill(brow, p.brow_tone, 0.9)
    lens = np.hypot(((side - p.eye_x) / (p.eye_width + 0.065)) ** 2, ((y - p.eye_y - 0.02) / (p.eye_height + 0.1)) ** 2)
    bridge = np.maximum(np.abs(y - p.eye_y + 0.03), side - p.eye_x + p.eye_width)
    canvas.fill(np.minimum(np.abs(np.sqrt(lens) - 1) * 0.17, bridge) - 0.018, 0.12, p.glasses)


def photograph(tones: Array, p: SimpleNamespace, rng: np.random.Generator) -> Array:
    """Blur (3 x 3, binomial), contrast, exposure and noise; uint8 [n, size, size]."""
    padded = np.pad(tones, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    tones += p.blur * ((rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16 - tones)
    tones = p.exposure + p.contrast * (tones - 0.5)
    tones += p.noise * rng.standard_normal(tones.shape, dtype=np.float32)
    return (np.clip(tones, 0, 1) * 255 + 0.5).astype(np.uint8)
