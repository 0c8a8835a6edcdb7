"""Drawn faces as pictures: a shaded, photo-like style or an ink drawing, then occlusion and a camera.

Tones run from 0 (black) to 1 (white). As in `demo_face`, `p` holds one parameter per face, [n, 1, 1] each.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from fer.data.datasets import drawn_face as face

Array = np.ndarray
Tone = Array | float


@dataclass
class Canvas:
    """Tones [n, size, size], painted over in place, back to front; `pixels` per face unit, [n, 1, 1]."""

    tones: Array
    pixels: Array

    def fill(self, distance: Array, tone: Tone, opacity: Tone = 1.0, soft: float = 1.0) -> None:
        """Fill the inside of a shape; its edge fades over `soft` pixels."""
        cover = np.clip(0.5 - distance * (self.pixels / soft), 0, 1)
        self.tones += (tone - self.tones) * (cover * opacity)

    def stroke(self, distance: Array, width: Tone, tone: Tone, opacity: Tone = 1.0) -> None:
        """Draw a line of the given width, in face units, along the zero of a distance."""
        self.fill(np.abs(distance) - width / 2, tone, opacity)


def backdrop(p: SimpleNamespace, pose: face.Pose, slope: Array) -> Canvas:
    """A plain ground, brighter towards the light."""
    return Canvas(p.background + slope * (pose.x * p.light_x + pose.y * p.light_y), pose.pixels)


def shaded(p: SimpleNamespace, pose: face.Pose) -> Array:
    """A photo-like face under a directional light."""
    canvas = backdrop(p, pose, p.background_slope)
    head, creases = face.head(p, pose), face.creases(p, pose)
    u, v, depth = head.normal
    light = np.clip(u * p.light_x + v * p.light_y + depth * p.light_z, 0, 1.1)
    light = 1 - p.light_strength + p.light_strength * light
    grain = p.hair_grain * pose.x
    lock = np.sin(grain * (1.3 - 0.5 * pose.y) + p.wave) * np.sin(0.37 * grain)
    gloss = face.bump(pose.x - 0.3 * p.light_x, pose.y + 0.8, 0.6, 0.2)
    strands = 0.9 + 0.08 * lock + 0.5 * (light - 0.7) + 0.25 * gloss
    canvas.fill(head.long_hair, p.hair_tone * strands * 0.8, p.long_hair)
    canvas.fill(0.95 + 0.12 * pose.side**2 - pose.y, p.clothes)
    canvas.fill(head.neck, p.skin * (0.62 + 0.12 * light))
    canvas.fill(head.ear, p.skin * 0.85 * light, 1 - 0.8 * p.long_hair)
    canvas.fill(head.skull, p.skin * light * skin_relief(p, pose, creases))
    beard = head.beard + 0.02 * np.sin(31 * pose.x) * np.sin(27 * pose.y)
    canvas.fill(beard, p.hair_tone * 0.9 + 0.05, p.beard, soft=3)
    paint_nose(canvas, p, pose, light)
    paint_mouth(canvas, p, pose, light)
    paint_eyes(canvas, p, face.eyes(p, pose), light)
    canvas.fill(head.hair, p.hair_tone * strands, soft=1.6)
    return canvas.tones


def skin_relief(p: SimpleNamespace, pose: face.Pose, creases: face.Creases) -> Array:
    """Relative brightness of the skin: sockets, cheeks, chin and folds."""
    side, y = pose.side, pose.y
    relief = 1 - 0.2 * face.bump(side - p.eye_x + 0.03, y - p.eye_y + 0.05, 0.27, 0.19)
    relief += 0.14 * creases.cheek - 0.1 * face.bump(side - 0.52, y - 0.42, 0.16, 0.32)
    relief -= 0.12 * face.bump(pose.x, y - p.mouth_y - 0.15, 0.2, 0.06)
    relief += 0.06 * face.bump(pose.x, y - p.chin + 0.14, 0.25, 0.13)
    relief += 0.05 * face.bump(pose.x, y + 0.6, 0.5, 0.25)
    relief -= 0.4 * creases.frown + 0.22 * (creases.forehead + creases.eye_bag)
    relief -= 0.3 * (creases.nose_root + creases.crow_feet + creases.nasolabial)
    dimples = np.cos(55 * pose.x + 9) * np.cos(50 * y)
    return relief - creases.chin * (0.08 + 0.1 * dimples)


def paint_nose(canvas: Canvas, p: SimpleNamespace, pose: face.Pose, light: Array) -> None:
    nose = face.nose(p, pose)
    canvas.tones += p.skin * ((0.1 + 0.6 * p.light_strength) * p.light_x * nose.bridge + 0.12 * nose.tip)
    canvas.stroke(nose.wing, 0.02, p.skin * light * 0.6, 0.65)
    canvas.fill(nose.nostril, p.skin * 0.25, 0.85, soft=1.5)


def paint_mouth(canvas: Canvas, p: SimpleNamespace, pose: face.Pose, light: Array) -> None:
    mouth = face.mouth(p, pose)
    lip = p.skin * light * p.lip_tone
    canvas.fill(mouth.moustache, p.hair_tone * 0.5, p.moustache, soft=1.5)
    canvas.fill(mouth.lips, lip * 0.92)
    canvas.fill(mouth.lower_lip, lip * 1.15, 0.8)
    canvas.fill(mouth.corner - 0.025, p.skin * 0.35, 0.45, soft=2)
    canvas.fill(mouth.opening, 0.1 * p.skin)
    canvas.fill(mouth.tongue, 0.42 * p.skin, 0.8, soft=2)
    canvas.fill(mouth.lower_teeth, 0.74 * light)
    canvas.fill(mouth.upper_teeth, 0.9 * light)


def paint_eyes(canvas: Canvas, p: SimpleNamespace, eyes: face.Eyes, light: Array) -> None:
    canvas.stroke(eyes.crease, 0.025, p.skin * light * 0.55, 0.6)
    canvas.fill(eyes.opening, 0.5 + 0.42 * light)
    canvas.fill(np.maximum(eyes.iris, eyes.opening), p.iris_tone)
    canvas.fill(np.maximum(eyes.pupil, eyes.opening), 0.03)
    canvas.fill(np.maximum(eyes.glint, eyes.opening), 1.0, 0.8)
    canvas.stroke(eyes.lower_lid, 0.015, p.skin * 0.45, 0.6)
    canvas.stroke(eyes.upper_lid, 0.035 + 0.02 * p.lashes, 0.08)
    canvas.fill(eyes.brow, p.brow_tone, 0.9, soft=1.5)
    canvas.fill(eyes.lens, 0.12, p.dark_glasses)
    canvas.stroke(eyes.glasses, p.frame_width, p.frame_tone, np.maximum(p.glasses, p.dark_glasses))


def inked(p: SimpleNamespace, pose: face.Pose) -> Array:
    """An ink drawing: outlines, flat tones, and hatching instead of shade."""
    canvas = backdrop(p, pose, 0.4 * p.background_slope)
    head, creases = face.head(p, pose), face.creases(p, pose)
    outline(canvas, p, head.long_hair, p.hair_tone, p.long_hair)
    outline(canvas, p, head.neck, p.skin * 0.85)
    outline(canvas, p, head.ear, p.skin, 1 - p.long_hair)
    outline(canvas, p, head.skull, p.skin)
    hatching = np.clip(np.sin(62 * (pose.x * p.hatch_x + pose.y)) * 1.5 + 0.3, 0, 1)
    far_side = 0.55 + head.normal[0] * np.sign(p.light_x)
    canvas.fill(np.maximum(head.skull, far_side), p.ink, 0.35 * hatching)
    canvas.fill(head.beard, p.hair_tone, p.beard)
    folds = creases.frown + 0.9 * (creases.forehead + creases.nose_root) + 0.6 * creases.eye_bag
    folds += 0.8 * (creases.nasolabial + creases.crow_feet)
    canvas.tones += (p.ink - canvas.tones) * np.clip(1.3 * folds - 0.25, 0, 0.9)
    ink_nose_and_mouth(canvas, p, pose)
    ink_eyes(canvas, p, face.eyes(p, pose), head)
    return canvas.tones


def outline(canvas: Canvas, p: SimpleNamespace, shape: Array, tone: Tone, opacity: Tone = 1.0) -> None:
    """Fill a shape with a flat tone and ink its edge."""
    canvas.fill(shape, tone, opacity)
    canvas.stroke(shape, p.line_width, p.ink, opacity)


def ink_nose_and_mouth(canvas: Canvas, p: SimpleNamespace, pose: face.Pose) -> None:
    nose, mouth = face.nose(p, pose), face.mouth(p, pose)
    canvas.stroke(nose.wing, p.line_width, p.ink)
    canvas.fill(nose.nostril, p.ink)
    canvas.fill(mouth.moustache, p.hair_tone * 0.6, p.moustache)
    canvas.fill(mouth.lower_lip, p.skin * 0.7)
    canvas.fill(mouth.opening - p.line_width / 4, p.ink)
    canvas.fill(mouth.tongue, 0.5)
    canvas.fill(np.minimum(mouth.upper_teeth, mouth.lower_teeth), 1.0)


def ink_eyes(canvas: Canvas, p: SimpleNamespace, eyes: face.Eyes, head: face.Head) -> None:
    """Eyes, the hair before them, and brows and glasses, which a cartoon draws over the hair."""
    outline(canvas, p, eyes.opening, 1.0)
    canvas.fill(np.maximum(eyes.iris, eyes.opening), p.iris_tone)
    canvas.fill(np.maximum(eyes.pupil, eyes.opening), p.ink)
    canvas.stroke(eyes.upper_lid, 1.6 * p.line_width, p.ink)
    outline(canvas, p, head.hair, p.hair_tone)
    canvas.fill(eyes.brow, np.minimum(p.brow_tone, 0.25))
    canvas.fill(eyes.lens, p.ink, p.dark_glasses)
    canvas.stroke(eyes.glasses, 0.8 * p.line_width, p.ink, np.maximum(p.glasses, p.dark_glasses))


def occlude(tones: Array, p: SimpleNamespace, pose: face.Pose) -> None:
    """Put a bar, a hand or a strand of hair before the face, in place, where their opacities say so."""
    canvas = Canvas(tones, pose.pixels)
    along = pose.x * np.cos(p.bar_angle) + pose.y * np.sin(p.bar_angle)
    canvas.fill(np.abs(along - p.bar_offset) - p.bar_width, p.bar_tone, p.bar)
    outwards = pose.x * p.hand_side
    across = (outwards - 0.5 + 0.3 * pose.y) / 0.17
    finger = np.abs(across - np.round(np.clip(across, -1, 2))) * 0.17
    tips = 0.35 + 0.3 * (outwards - 0.4) ** 2
    canvas.fill(np.maximum(finger - 0.08, tips - pose.y), p.skin * (1.02 - 4 * finger), p.hand)
    strand = outwards - 0.75 + 0.5 * (pose.y + 0.9) ** 2 * np.clip(0.4 - pose.y, 0, 1)
    canvas.fill(np.maximum(np.abs(strand) - 0.07, pose.y - 0.4), p.hair_tone, p.strand, soft=2)


def blurred(tones: Array) -> Array:
    """Tones under a 3 x 3 binomial filter; edges repeat."""
    padded = np.pad(tones, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16


def photograph(tones: Array, p: SimpleNamespace, rng: np.random.Generator) -> Array:
    """Blur, contrast, exposure and noise; uint8 [n, size, size]."""
    tones = tones + p.blur * (blurred(tones) - tones)
    tones = p.exposure + p.contrast * (tones - 0.5)
    tones += p.noise * rng.standard_normal(tones.shape, dtype=np.float32)
    return (np.clip(tones, 0, 1) * 255 + 0.5).astype(np.uint8)


PAINTERS = {"demo": shaded, "demo2": inked}


def render(p: SimpleNamespace, style: str, rng: np.random.Generator, size: int = 48) -> Array:
    """uint8 [n, size, size] pictures of n faces from parameters [n, 1, 1]."""
    pose = face.place(p, size)
    tones = PAINTERS[style](p, pose)
    occlude(tones, p, pose)
    return photograph(tones, p, rng)
