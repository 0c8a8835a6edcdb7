"""The shapes of a drawn face: signed distances and creases, moved by facial action units.

Face coordinates: x to the right, y down, the origin between eyes and mouth, 1 = half the width of the frame.
Parameters `p` are [n, 1, 1] arrays, one value per face; shapes are [n, size, size], negative inside.
A face is symmetric in its own coordinates, so both halves are computed at once from `side = |x|`;
the pose, not the face, makes a picture asymmetric.

Action units: P. Ekman and W. V. Friesen, Facial Action Coding System (1978); intensities from 0 to about 1.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

Array = np.ndarray
Point = tuple[Array | float, Array | float]


@dataclass
class Pose:
    """Where each pixel lies on its face. `pixels` is the number of pixels per face unit, [n, 1, 1]."""

    x: Array
    y: Array
    pixels: Array

    @property
    def side(self) -> Array:
        return np.abs(self.x)


def place(p: SimpleNamespace, size: int) -> Pose:
    """Face coordinates of every pixel, after shift, scale, in-plane roll, and yaw and pitch.

    Yaw and pitch move the middle of the face and leave its outline, so that one side is squeezed.
    """
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1)[None]
    column, row = axis[:, None, :] - p.shift_x, axis[:, :, None] - p.shift_y
    cos, sin = np.cos(p.roll) / p.scale, np.sin(p.roll) / p.scale
    x, y = cos * column + sin * row, cos * row - sin * column
    depth = np.clip(1 - (x / 0.95) ** 2 - (y / 1.1) ** 2, 0, None)
    return Pose(x - p.yaw * depth, y - p.pitch * depth, p.scale * size / 2)


def bump(x: Array, y: Array, width: Array | float, height: Array | float) -> Array:
    """A smooth hill of height 1 and the given half-axes, zero outside."""
    return np.clip(1 - (x / width) ** 2 - (y / height) ** 2, 0, None) ** 2


def ellipse(x: Array, y: Array, width: Array | float, height: Array | float) -> Array:
    """Approximate signed distance to an ellipse with the given half-axes."""
    return (np.sqrt((x / width) ** 2 + (y / height) ** 2) - 1) * np.minimum(width, height)


def segment(x: Array, y: Array, start: Point, end: Point) -> Array:
    """Distance to the straight segment from `start` to `end`, each (x, y)."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    t = ((x - start[0]) * along_x + (y - start[1]) * along_y) / (along_x**2 + along_y**2)
    t = np.clip(t, 0, 1)
    return np.hypot(x - start[0] - t * along_x, y - start[1] - t * along_y)


@dataclass
class Head:
    skull: Array
    neck: Array
    ear: Array
    hair: Array
    long_hair: Array
    beard: Array
    normal: tuple[Array, Array, Array]


def head(p: SimpleNamespace, pose: Pose) -> Head:
    """Outline of head, ears, neck and hair, and the surface normal of the head as an ellipsoid."""
    x, y, side = pose.x, pose.y, pose.side
    chin = p.chin + 0.07 * p.au26 + 0.13 * p.au27
    height = np.where(y > 0, chin, 1.12)
    v = y / height
    u = x / p.head_width * (1 + p.jaw_taper * np.clip(v, 0, 1.2) ** 2)
    radius = np.sqrt(u**2 + v**2)
    skull = (radius - 1) * 0.85
    depth = np.sqrt(np.clip(1 - radius**2, 0.04, None))
    temple = np.clip((side - p.head_width * 0.78) / 0.14, 0, 1)
    fringe = p.hairline + p.part * x + p.fringe_bow * x * x + 0.03 * np.sin(p.wave * x + 4 * p.part)
    hairline = fringe + (p.sideburn - fringe) * temple * temple * (3 - 2 * temple)
    slope = (p.sideburn - fringe) * temple * (1 - temple) * (6 / 0.14)
    crown = ellipse(x, y, p.head_width + 0.07, 1.12 + p.hair_volume)
    under_lip = np.clip(1 - (side / (0.9 * p.head_width)) ** 2, 0, 1)
    beard_line = 0.28 + 0.3 * under_lip - 0.5 * np.clip(side - 0.6, 0, 1)
    waves = 0.06 * np.sin(2.5 * y + p.wave)
    return Head(
        skull=skull,
        neck=np.maximum(side - 0.5 * p.head_width - 0.35 * np.clip(y - 0.9, 0, 1) ** 2, 0.4 - y),
        ear=ellipse(side - p.head_width - 0.01, y + 0.05, 0.09, 0.2),
        hair=np.maximum(crown, (y - hairline) / np.hypot(1, slope)),
        long_hair=ellipse(side - waves, np.minimum(y + 0.1, 0), p.head_width + 0.16, 1.08),
        beard=np.maximum(skull, beard_line - y),
        normal=(u, v, depth),
    )


@dataclass
class Eyes:
    opening: Array
    upper_lid: Array
    lower_lid: Array
    crease: Array
    iris: Array
    pupil: Array
    glint: Array
    brow: Array
    glasses: Array
    lens: Array


def eyes(p: SimpleNamespace, pose: Pose) -> Eyes:
    """Eyes and brows: inner and outer brow raiser (AU1, AU2), brow lowerer (AU4), upper lid raiser (AU5),
    cheek raiser (AU6), lid tightener (AU7)."""
    x, y, side = pose.x, pose.y, pose.side
    s = (side - p.eye_x) / p.eye_width
    arch = np.clip(1 - s * s, 0, None)
    beyond = (np.abs(s) - 1) * p.eye_width
    middle = p.eye_y - p.eye_tilt * s * p.eye_width
    raised = p.lids + 0.8 * p.au5 - 0.35 * p.au7 - 0.25 * p.au6 - 0.15 * p.au4
    open_up = p.eye_height * np.clip(raised, 0.12, None)
    open_down = p.eye_height * np.clip(0.62 + 0.12 * p.au5 - 0.4 * p.au7 - 0.42 * p.au6, 0.1, None)
    slant = np.clip(0.5 * p.au1 - 0.3 * p.au4 - 0.15 * p.au7, -0.5, 0.5)
    upper = middle - open_up * arch * (1 - slant * s)
    lower = middle + open_down * arch
    gaze_x, gaze_y = side - p.eye_x - p.gaze_x * np.sign(x), y - p.eye_y - p.gaze_y + 0.25 * p.eye_height
    pupil_distance = np.hypot(gaze_x, gaze_y)
    glint_x = gaze_x - 0.4 * p.iris_radius * np.sign(x * p.light_x)
    lens_x, lens_y = (side - p.eye_x) / (p.eye_width + 0.065), (y - p.eye_y - 0.02) / (p.eye_height + 0.1)
    lens = (np.sqrt(np.hypot(lens_x**2, lens_y**2)) - 1) * 0.17
    bridge = np.maximum(np.abs(y - p.eye_y + 0.03), side - p.eye_x + p.eye_width)
    return Eyes(
        opening=np.maximum(np.maximum(upper - y, y - lower), beyond),
        upper_lid=np.maximum(np.abs(y - upper), beyond - 0.015),
        lower_lid=np.maximum(np.abs(y - lower), beyond),
        crease=np.maximum(np.abs(y - upper + 0.055 - 0.015 * p.au5), beyond),
        iris=pupil_distance - p.iris_radius,
        pupil=pupil_distance - 0.45 * p.iris_radius,
        glint=np.hypot(glint_x, gaze_y + 0.4 * p.iris_radius) - 0.3 * p.iris_radius,
        brow=brow(p, pose),
        glasses=np.minimum(np.abs(lens), bridge),
        lens=lens,
    )


def brow(p: SimpleNamespace, pose: Pose) -> Array:
    """A tapering stroke along the parabola through inner end, middle and outer end."""
    level = p.eye_y - p.brow_height
    inner_x = p.eye_x - 0.21 - 0.06 * p.au4
    length = 0.45 + 0.02 * p.au4
    inner = level + 0.02 - 0.13 * p.au1 + 0.12 * p.au4 + 0.03 * p.au9
    middle = level - p.brow_arch - 0.07 * p.au1 - 0.08 * p.au2 + 0.07 * p.au4 + 0.02 * p.au9
    outer = level + 0.035 - 0.13 * p.au2 + 0.02 * p.au4 + 0.03 * p.au1
    t = np.clip((pose.side - inner_x) / length, -0.1, 1.1)
    curve = inner * (1 - t) * (1 - 2 * t) + 4 * middle * t * (1 - t) + outer * t * (2 * t - 1)
    thickness = p.brow_thickness * (1 - 0.65 * t * t)
    ends = (np.abs((pose.side - inner_x) / length - 0.5) - 0.5) * length
    return np.maximum(np.abs(pose.y - curve) - thickness, ends)


@dataclass
class Nose:
    nostril: Array
    wing: Array
    tip: Array
    bridge: Array


def nose(p: SimpleNamespace, pose: Pose) -> Nose:
    """Nostrils, wings, the highlight of the tip, and the bridge as a signed slope: -1 left, +1 right side.

    The nose wrinkler (AU9) and the upper lip raiser (AU10) lift and widen the wings.
    """
    x, y, side = pose.x, pose.y, pose.side
    base = p.nose_y - 0.05 * p.au9 - 0.02 * p.au10
    width = p.nose_width * (1 + 0.18 * p.au9 + 0.08 * p.au12 + 0.08 * p.au10)
    top = p.eye_y
    along = np.clip((y - top) / (base - top), 0, 1.15)
    s = x / (0.07 + 0.55 * width * along)
    window = np.clip(1 - (2 * (y - top) / (base - top) - 1.05) ** 2 * 0.75, 0, None)
    wing = np.abs(np.hypot((side - width * 0.72) / 0.8, y - base + 0.035) - 0.055)
    return Nose(
        nostril=ellipse(side - 0.5 * width, y - base - 0.01, 0.04, 0.022),
        wing=np.maximum(wing, 0.72 * width - side),
        tip=bump(x - 0.02 * np.sign(p.light_x), y - base + 0.07, 0.09, 0.09),
        bridge=s * np.clip(1 - s * s / 3, 0, None) ** 2 * window,
    )


@dataclass
class Mouth:
    lips: Array
    lower_lip: Array
    opening: Array
    upper_teeth: Array
    lower_teeth: Array
    tongue: Array
    corner: Array
    moustache: Array


def mouth(p: SimpleNamespace, pose: Pose) -> Mouth:
    """Lips, teeth and opening: upper lip raiser (AU10), lip corner puller (AU12) and depressor (AU15), chin
    raiser (AU17), lip stretcher (AU20), lip tightener (AU23) and pressor (AU24), lips part (AU25), jaw drop
    (AU26), mouth stretch (AU27)."""
    y, side = pose.y, pose.side
    gap = (0.085 + 0.05 * p.au12) * p.au25 + 0.13 * p.au26 + 0.3 * p.au27
    narrow = 0.14 * p.au23 + 0.06 * p.au24 + 0.3 * p.au27 + 0.12 * p.au26 + 0.08 * p.au17
    corner_x = p.mouth_width * (1 + 0.3 * p.au12 + 0.34 * p.au20 + 0.05 * p.au15 - narrow)
    pressed = 0.02 * p.au23 + 0.015 * p.au24
    corner_y = p.mouth_y - 0.012 + 0.22 * gap - 0.02 * p.au9 - 0.12 * p.au12 + 0.11 * p.au15 + pressed
    corner_y += 0.01 * p.au20 + 0.04 * p.au27
    middle = p.mouth_y + 0.004 + 0.035 * p.au12 - 0.05 * p.au15 - 0.045 * p.au17 - 0.01 * p.au10
    s = side / corner_x
    arch = np.clip(1 - s * s, 0, None)
    square = np.clip(0.4 * p.au27 + 0.9 * p.au20 + 0.8 * p.au10 + 0.7 * p.au23, 0, 0.9)
    full = arch * (1 + square * s * s)
    thin = np.clip(1 - 0.55 * p.au23 - 0.75 * p.au24 - 0.25 * p.au12 - 0.2 * p.au20, 0.12, None)
    upper = corner_y + (middle - 0.15 * gap - 0.07 * p.au10 - 0.03 * p.au9 - corner_y) * full
    lower = corner_y + (middle + 0.85 * gap - corner_y) * full
    cupid = 0.015 * np.clip(1 - np.abs(s - 0.22) * 4, 0, 1)
    lip_edge = np.sqrt(arch) * (0.5 + 0.5 * arch)
    top = upper - p.lip * thin * (lip_edge * 0.8 + cupid)
    bottom = lower + p.lip * (thin + 0.35 * p.au17 * (1 - p.au24)) * lip_edge
    beyond = side - corner_x
    opening = np.maximum(np.maximum(upper - y, y - lower), beyond)
    tooth = 0.02 + 0.075 * p.au12 + 0.07 * p.au10 + 0.05 * p.au23 + 0.02 * p.au27
    return Mouth(
        lips=np.maximum(np.maximum(top - y, y - bottom), beyond),
        lower_lip=np.maximum(np.maximum(lower - y, y - bottom), beyond),
        opening=opening,
        upper_teeth=np.maximum(opening + 0.012, y - upper - tooth),
        lower_teeth=np.maximum(opening + 0.012, lower - 0.05 * (p.au20 + p.au23) - y),
        tongue=np.maximum(opening + 0.015, ellipse(side, y - lower - 0.01, corner_x * 0.7, 0.09)),
        corner=np.hypot(beyond, y - corner_y),
        moustache=ellipse(side, y - 0.45 * top - 0.55 * (p.nose_y + 0.05), 0.21, 0.045),
    )


@dataclass
class Creases:
    """Strength of each fold, 0 where there is none."""

    forehead: Array
    frown: Array
    nose_root: Array
    crow_feet: Array
    nasolabial: Array
    eye_bag: Array
    chin: Array
    cheek: Array


def creases(p: SimpleNamespace, pose: Pose) -> Creases:
    """Transient folds of the skin, which FACS counts as evidence of an action unit, and the raised cheek."""
    x, y, side = pose.x, pose.y, pose.side
    brow_y = p.eye_y - p.brow_height - 0.13
    lines = np.clip(np.cos((y - brow_y + 0.25 * x * x) * 42), 0, None) ** 2
    raised = np.clip(p.au1 + 0.5 * p.au2, 0, 1.4)
    forehead = bump(x, y - brow_y + 0.07, 0.3 + 0.25 * p.au2, 0.2) * lines * raised
    frown = segment(side, y, (0.075, p.eye_y - 0.24), (0.055, p.eye_y - 0.08))
    ridges = np.clip(np.cos((y - p.eye_y) * 48 + 10 * side), 0, None)
    fan_x = p.eye_x + p.eye_width
    crow = np.minimum(
        segment(side, y, (fan_x + 0.05, p.eye_y), (fan_x + 0.15, p.eye_y - 0.06)),
        segment(side, y, (fan_x + 0.05, p.eye_y + 0.05), (fan_x + 0.15, p.eye_y + 0.08)),
    )
    wing_x = p.nose_width + 0.03
    fold_x = p.mouth_width * (1.12 + 0.35 * p.au12 + 0.25 * p.au20) + 0.04
    fold_start, fold_end = (
        (wing_x, p.nose_y - 0.06 - 0.04 * p.au9),
        (fold_x, p.mouth_y - 0.04 - 0.03 * p.au12),
    )
    fold = segment(side, y, fold_start, fold_end)
    depth = np.clip(0.12 + 0.25 * p.age + 0.55 * p.au12 + 0.75 * p.au9 + 0.6 * p.au10 + 0.25 * p.au20, 0, 1.1)
    bag_y = p.eye_y + p.eye_height * 0.75 + 0.045
    bag = np.clip(1 - np.abs(y - bag_y + 1.8 * (side - p.eye_x) ** 2) / 0.035, 0, None)
    swelling = 0.15 + 0.4 * p.age + 0.5 * p.au6 + 0.4 * p.au7 + 0.4 * p.au9
    cheek = np.clip(0.2 + p.au6 + 0.5 * p.au12, 0, 1.4)
    return Creases(
        forehead=forehead,
        frown=np.clip(1 - frown / 0.04, 0, None) * (p.au4 + 0.3 * p.au9),
        nose_root=bump(x, y - p.eye_y - 0.03, 0.14, 0.2) * ridges * p.au9,
        crow_feet=np.clip(1 - crow / 0.025, 0, None) * p.au6,
        nasolabial=np.clip(1 - fold / 0.05, 0, None) * depth,
        eye_bag=bag * (np.abs(side - p.eye_x) < p.eye_width) * swelling,
        chin=bump(x, y - p.mouth_y - 0.27, 0.22, 0.13) * p.au17,
        cheek=bump(side - 0.43, y - 0.17 + 0.06 * p.au6, 0.28, 0.2) * cheek,
    )
