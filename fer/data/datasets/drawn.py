"""Drawn faces: a data set that needs no download, in two styles.

Each subject keeps a geometry, tone, hair, beard and glasses; each picture adds an expression, made of facial
action units, and a pose, light, occlusion and camera of its own. Subjects never cross splits.

Expressions follow the prototypes of EMFACS (P. Ekman and W. V. Friesen, Facial Action Coding System, 1978;
Emotional Facial Action Coding System, 1983), with variants and intensities as spontaneous faces have them.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from fer.data.datasets.drawn_paint import render

STYLES = ("demo", "demo2")
VERSION = 1  # raise when drawings change: packs made by an older version are remade
SIZE = 48
FACES_PER_SUBJECT = 70
CHUNK = 64  # faces drawn at once: arrays of this many small pictures stay in the processor's cache

Ranges = dict[str, tuple[float, float]]
Parameters = dict[str, np.ndarray]
Counts = tuple[int, int, int]

# Emotion -> alternative sets of action units at their apex; emotion -> share of the data.
PROTOTYPES: dict[str, list[dict[str, float]]] = {
    "angry": [
        {"au4": 1.0, "au5": 0.5, "au7": 0.8, "au23": 0.9, "au17": 0.2},
        {"au4": 1.0, "au5": 0.3, "au7": 0.9, "au24": 1.0, "au17": 0.4},
        {"au4": 1.0, "au5": 0.6, "au7": 0.7, "au23": 0.9, "au25": 1.0},
    ],
    "disgust": [
        {"au9": 1.0, "au10": 0.6, "au4": 0.3, "au7": 0.5, "au15": 0.5, "au17": 0.5},
        {"au9": 0.9, "au10": 1.0, "au6": 0.3, "au7": 0.4, "au25": 0.8},
        {"au9": 0.8, "au10": 0.8, "au7": 0.5, "au15": 0.8},
    ],
    "fear": [
        {"au1": 0.9, "au2": 0.4, "au4": 0.6, "au5": 0.9, "au20": 0.9, "au25": 0.8},
        {"au1": 1.0, "au2": 0.5, "au4": 0.5, "au5": 1.0, "au20": 0.8, "au25": 0.6, "au26": 0.6},
        {"au1": 0.9, "au2": 0.4, "au4": 0.6, "au5": 1.0, "au20": 1.0},
    ],
    "happy": [
        {"au6": 0.8, "au12": 1.0, "au25": 1.0},
        {"au6": 0.9, "au12": 1.0, "au25": 0.9, "au26": 0.6},
        {"au6": 0.6, "au12": 0.9},
    ],
    "sad": [
        {"au1": 0.9, "au4": 0.5, "au15": 0.9, "au17": 0.4},
        {"au1": 1.0, "au4": 0.4, "au15": 0.8, "au17": 0.8, "au7": 0.2},
        {"au1": 0.9, "au4": 0.6, "au15": 1.0, "au25": 0.3},
    ],
    "surprise": [
        {"au1": 0.9, "au2": 1.0, "au5": 0.8, "au25": 0.5, "au26": 1.0},
        {"au1": 1.0, "au2": 1.0, "au5": 1.0, "au25": 0.3, "au27": 0.9},
        {"au1": 0.9, "au2": 1.0, "au5": 0.8, "au26": 0.5, "au27": 0.5},
    ],
    "neutral": [{}, {}, {"au25": 0.35}],
}
SHARES = dict(zip(PROTOTYPES, (0.14, 0.11, 0.13, 0.19, 0.15, 0.13, 0.15), strict=True))
ACTION_UNITS = tuple(f"au{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 24, 25, 26, 27))

# Drawn once per subject.
TRAITS: Ranges = {
    "head_width": (0.72, 0.84),
    "chin": (0.86, 0.98),
    "jaw_taper": (0.05, 0.4),
    "skin": (0.55, 0.9),
    "age": (0.0, 1.0),
    "hair_tone": (0.06, 0.55),
    "hairline": (-0.86, -0.56),
    "part": (-0.18, 0.18),
    "fringe_bow": (-0.25, 0.4),
    "wave": (2.0, 9.0),
    "sideburn": (-0.35, 0.1),
    "hair_volume": (-0.05, 0.12),
    "hair_grain": (20.0, 50.0),
    "eye_x": (0.33, 0.39),
    "eye_y": (-0.21, -0.14),
    "eye_width": (0.15, 0.185),
    "eye_height": (0.07, 0.09),
    "eye_tilt": (-0.1, 0.16),
    "iris_radius": (0.066, 0.082),
    "iris_tone": (0.1, 0.4),
    "lashes": (0.0, 1.0),
    "brow_height": (0.17, 0.22),
    "brow_arch": (0.0, 0.04),
    "brow_thickness": (0.022, 0.045),
    "nose_y": (0.15, 0.23),
    "nose_width": (0.11, 0.155),
    "mouth_y": (0.47, 0.53),
    "mouth_width": (0.24, 0.3),
    "lip": (0.045, 0.08),
    "lip_tone": (0.6, 0.82),
    "frame_width": (0.02, 0.05),
    "frame_tone": (0.03, 0.3),
    "line_width": (0.04, 0.06),
    "ink": (0.02, 0.14),
}
# Drawn once per picture.
CONDITIONS: Ranges = {
    "intensity": (0.52, 1.1),
    "roll": (-0.2, 0.2),
    "yaw": (-0.16, 0.16),
    "pitch": (-0.08, 0.08),
    "shift_x": (-0.07, 0.07),
    "shift_y": (-0.06, 0.06),
    "scale": (0.97, 1.14),
    "gaze_x": (-0.05, 0.05),
    "gaze_y": (-0.015, 0.02),
    "lids": (0.75, 1.0),
    "light_x": (-0.75, 0.75),
    "light_y": (-0.6, 0.15),
    "light_strength": (0.2, 0.7),
    "background": (0.08, 0.9),
    "background_slope": (0.0, 0.25),
    "clothes": (0.05, 0.9),
    "contrast": (0.8, 1.2),
    "exposure": (0.4, 0.6),
    "blur": (0.0, 0.9),
    "noise": (0.0, 0.022),
    "hatch_x": (-0.8, 0.8),
    "bar_angle": (0.0, 3.14),
    "bar_offset": (-0.9, 0.9),
    "bar_width": (0.05, 0.11),
    "bar_tone": (0.0, 1.0),
}
# Chances that a subject has, or a picture shows, something that is there or not.
SUBJECT_CHANCES = {"long_hair": 0.35, "beard": 0.25, "moustache": 0.1, "glasses": 0.15}
PICTURE_CHANCES = {"dark_glasses": 0.03, "bar": 0.04, "hand": 0.04, "strand": 0.05}
# What the second style draws otherwise: rounder heads, larger eyes, paper-white grounds.
STYLE_RANGES: dict[str, Ranges] = {
    "demo": {},
    "demo2": {
        "head_width": (0.78, 0.88),
        "skin": (0.78, 1.0),
        "hair_tone": (0.05, 0.75),
        "eye_x": (0.35, 0.4),
        "eye_y": (-0.18, -0.1),
        "eye_width": (0.19, 0.23),
        "eye_height": (0.12, 0.16),
        "iris_radius": (0.09, 0.12),
        "brow_height": (0.24, 0.29),
        "brow_thickness": (0.03, 0.055),
        "nose_width": (0.09, 0.12),
        "intensity": (0.4, 1.05),
        "roll": (-0.28, 0.28),
        "yaw": (-0.2, 0.2),
        "background": (0.6, 1.0),
        "noise": (0.0, 0.02),
        "blur": (0.0, 0.8),
        "contrast": (0.7, 1.0),
    },
}


@dataclass(frozen=True)
class DrawnFaces:
    """Pictures of drawn faces, uint8 [N, 48, 48], and what is known of each."""

    images: np.ndarray
    emotions: list[str]
    subjects: list[str]
    splits: list[str]
    names: list[str]


def draw_faces(style: str = "demo", seed: int = 0, faces: Counts = (4900, 700, 1050)) -> DrawnFaces:
    """Draw a data set in one of `STYLES`, the same for the same seed.

    Args:
        faces: how many for train, validation and test, at least 7 each, so that each split has every emotion.

    Raises:
        ValueError: the style is unknown, or a split is too small for all emotions.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r} of drawn faces; choose one of {', '.join(STYLES)}")
    if min(faces) < len(PROTOTYPES):
        raise ValueError(f"{min(faces)} drawn faces cannot show {len(PROTOTYPES)} emotions; ask for more")
    rng = np.random.default_rng([seed, STYLES.index(style)])
    subject_ids = assign_subjects(faces)
    emotions = np.concatenate([draw_emotions(count, rng) for count in faces])
    parameters = draw_parameters(style, subject_ids, rng)
    parameters |= draw_action_units(emotions, parameters["intensity"], rng)
    subjects = [f"D{subject_id:03d}" for subject_id in subject_ids]
    takes = np.arange(len(subject_ids)) - np.searchsorted(subject_ids, subject_ids)
    return DrawnFaces(
        images=draw_images(parameters, style, seed),
        emotions=emotions.tolist(),
        subjects=subjects,
        splits=np.repeat(["train", "val", "test"], faces).tolist(),
        names=[f"{e}/{s}_{take:03d}.png" for e, s, take in zip(emotions, subjects, takes, strict=True)],
    )


def assign_subjects(faces: Counts) -> np.ndarray:
    """Ascending subject numbers [N]: the faces of a split are shared evenly among subjects of its own."""
    numbers, first = [], 0
    for count in faces:
        subjects = max(3, count // FACES_PER_SUBJECT)
        numbers.append(first + np.arange(count) * subjects // count)
        first += subjects
    return np.concatenate(numbers)


def draw_emotions(count: int, rng: np.random.Generator) -> np.ndarray:
    """Emotions of `count` faces in random order, each at least once and otherwise by its share, [count]."""
    shares = np.array(list(SHARES.values()))
    quotas = 1 + (count - len(shares)) * shares / shares.sum()
    counts = np.floor(quotas).astype(int)
    counts[np.argsort(counts - quotas)[: count - counts.sum()]] += 1
    return rng.permutation(np.repeat(list(SHARES), counts))


def draw_parameters(style: str, subject_ids: np.ndarray, rng: np.random.Generator) -> Parameters:
    """Everything about the pictures but their expression, [N] each; traits are equal within a subject."""
    subjects, total = subject_ids[-1] + 1, len(subject_ids)
    traits = draw_uniform(TRAITS, style, subjects, rng) | draw_presence(SUBJECT_CHANCES, subjects, rng)
    traits["brow_tone"] = 0.7 * traits["hair_tone"]
    for hair in ("beard", "moustache"):
        traits[hair] *= traits["long_hair"] == 0
    conditions = draw_uniform(CONDITIONS, style, total, rng) | draw_presence(PICTURE_CHANCES, total, rng)
    conditions["hand_side"] = rng.choice([-1.0, 1.0], total)
    sideways = conditions["light_x"] ** 2 + conditions["light_y"] ** 2
    conditions["light_z"] = np.sqrt(1 - np.minimum(sideways, 0.9))
    return {name: values[subject_ids] for name, values in traits.items()} | conditions


def draw_uniform(ranges: Ranges, style: str, count: int, rng: np.random.Generator) -> Parameters:
    """Values [count] within each range, or within the range of the style where it has its own."""
    own = STYLE_RANGES[style]
    return {name: rng.uniform(*own.get(name, bounds), count) for name, bounds in ranges.items()}


def draw_presence(chances: dict[str, float], count: int, rng: np.random.Generator) -> Parameters:
    """Opacity [count] of each thing that is there or not: 0, or 0.7 to 1."""
    return {k: (rng.random(count) < chance) * rng.uniform(0.7, 1, count) for k, chance in chances.items()}


def draw_action_units(emotions: np.ndarray, intensity: np.ndarray, rng: np.random.Generator) -> Parameters:
    """Action units [N] each: a prototype at the intensity of the picture, over a faint random background."""
    units = rng.uniform(0, 0.35, (len(emotions), len(ACTION_UNITS))) ** 2
    for emotion, variants in PROTOTYPES.items():
        apexes = np.array([[apex.get(unit, 0.0) for unit in ACTION_UNITS] for apex in variants])
        faces = np.flatnonzero(emotions == emotion)
        variant = rng.integers(len(variants), size=len(faces))
        unevenness = rng.uniform(0.75, 1.2, (len(faces), len(ACTION_UNITS)))
        units[faces] += intensity[faces, None] * unevenness * apexes[variant]
    return dict(zip(ACTION_UNITS, units.T, strict=True))


def draw_images(parameters: Parameters, style: str, seed: int) -> np.ndarray:
    """uint8 [N, 48, 48] from parameters [N]; chunks are drawn in threads, each with its own noise."""
    columns = {name: values.astype(np.float32)[:, None, None] for name, values in parameters.items()}

    def draw_chunk(start: int) -> np.ndarray:
        chunk = SimpleNamespace(**{name: values[start : start + CHUNK] for name, values in columns.items()})
        rng = np.random.default_rng([seed, STYLES.index(style), start + 1])
        return render(chunk, style, rng, SIZE)

    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(draw_chunk, range(0, len(columns["scale"]), CHUNK))))
