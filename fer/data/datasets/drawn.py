"""Drawn faces: a data set that needs no download, in two styles.

Each subject keeps a geometry, tone, hair and glasses; each picture adds an expression, made of facial action units, and
a pose, light and camera of its own. Subjects never cross splits.

Expressions follow the prototypes of EMFACS (P. Ekman and W. V. Friesen, Facial Action Coding System, 1978;
Emotional Facial Action Coding System, 1983), with variants and intensities as spontaneous faces have them.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from fer.data.datasets import DatasetFacts
from fer.data.datasets.drawn_face import render
from fer.data.samples import Listing, RawSample
from fer.data.sources import Source
from fer.errors import DataError

FACTS = DatasetFacts(
    name="drawn",
    title="drawn faces",
    owner="this project",
    licence="that of this project",
    protocol="train, val and test by subject",
    caveats=(
        "These faces are drawn by a program, with the expression it was asked to draw. The numbers show that the "
        "machinery works, and nothing about people.",
    ),
    warning="This model was trained on drawn faces alone: what it says of a photograph means nothing.",
    other_names=("demo", "demo2"),
    layouts=("drawn faces",),
)
DRAWN = "drawn:"  # in front of a style, as data.source
STYLES = ("demo", "demo2")  # shaded like a photograph; an ink drawing
VERSION = 4  # raise when drawings change: packs made by an older version are remade
SIZE = 48
FACES_PER_SUBJECT = 70
CHUNK = 64  # faces drawn at once: arrays of this many small pictures stay in the processor's cache

Ranges = dict[str, tuple[float, ...]]
Parameters = dict[str, np.ndarray]
Counts = tuple[int, int, int]


def numbers(text: str) -> Ranges:
    """A table written as `name number ..., name number ...`."""
    return {name: tuple(map(float, values)) for name, *values in map(str.split, text.split(","))}


# Emotion -> alternative sets of action units, each as its number and its strength at the apex.
PROTOTYPES: dict[str, list[dict[str, float]]] = {
    emotion: [{f"au{unit}": strength for unit, (strength,) in numbers(variant).items()} for variant in variants]
    for emotion, variants in {
        "angry": ["4 1.0, 5 0.5, 7 0.8, 23 0.9, 17 0.2", "4 1.0, 5 0.6, 7 0.7, 23 0.9, 25 1.0"],
        "disgust": ["9 1.0, 10 0.6, 4 0.3, 7 0.5, 15 0.5, 17 0.5", "9 0.9, 10 1.0, 6 0.3, 7 0.4, 25 0.8"],
        "fear": ["1 0.9, 2 0.4, 4 0.6, 5 0.9, 20 0.9, 25 0.8", "1 0.9, 2 0.4, 4 0.6, 5 1.0, 20 1.0"],
        "happy": ["6 0.8, 12 1.0, 25 1.0", "6 0.6, 12 0.9"],
        "sad": ["1 0.9, 4 0.5, 15 0.9, 17 0.4", "1 0.9, 4 0.6, 15 1.0, 25 0.3"],
        "surprise": ["1 0.9, 2 1.0, 5 0.8, 25 0.5, 26 1.0", "1 1.0, 2 1.0, 5 1.0, 25 0.3, 26 1.4"],
        "neutral": ["25 0.0", "25 0.35"],
    }.items()
}
SHARES = dict(zip(PROTOTYPES, (0.14, 0.11, 0.13, 0.19, 0.15, 0.13, 0.15), strict=True))  # of the data
ACTION_UNITS = tuple(f"au{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26))
# Smallest and largest value of each parameter of `drawn_face`: drawn once per subject, and once per picture.
TRAITS = numbers(
    "head_width 0.72 0.84, chin 0.86 0.98, jaw_taper 0.05 0.4, skin 0.55 0.9, age 0 1, hair_tone 0.06 0.55, "
    "hairline -0.86 -0.56, part -0.18 0.18, fringe_bow -0.25 0.4, sideburn -0.35 0.1, eye_x 0.33 0.39, "
    "eye_y -0.21 -0.14, eye_width 0.15 0.185, eye_height 0.07 0.09, eye_tilt -0.1 0.16, iris_radius 0.066 0.082, "
    "iris_tone 0.1 0.4, brow_height 0.17 0.22, brow_arch 0 0.04, brow_thickness 0.022 0.045, nose_y 0.15 0.23, "
    "nose_width 0.11 0.155, mouth_y 0.47 0.53, mouth_width 0.24 0.3, lip 0.045 0.08, lip_tone 0.6 0.82, "
    "line_width 0 0, ink 0.02 0.14, folds 0.55 0.55, fold_tone 0.4 0.4"
)
CONDITIONS = numbers(
    "intensity 0.52 1.1, roll -0.2 0.2, yaw -0.16 0.16, pitch -0.08 0.08, shift_x -0.07 0.07, shift_y -0.06 0.06, "
    "scale 0.97 1.14, gaze_x -0.05 0.05, gaze_y -0.015 0.02, lids 0.75 1, light_x -0.75 0.75, light_y -0.6 0.15, "
    "light_strength 0.2 0.7, background 0.08 0.9, contrast 0.8 1.2, exposure 0.4 0.6, blur 0 0.9, "
    "noise 0 0.015, bar_angle 0 3.14, bar_offset -0.9 0.9, bar_tone 0 1"
)
# Chances that a subject has, or a picture shows, something that is there or not.
SUBJECT_CHANCES = {"long_hair": 0.35, "glasses": 0.15}
PICTURE_CHANCES = {"bar": 0.06}
# What each style draws otherwise; the second has outlines, flat tones, rounder heads, larger eyes, paper-white grounds.
STYLE_RANGES: dict[str, Ranges] = {
    "demo": {},
    "demo2": numbers(
        "line_width 0.04 0.06, light_strength 0 0, folds 0.9 0.9, fold_tone 0 0.1, head_width 0.78 0.88, skin 0.78 1, "
        "hair_tone 0.05 0.75, eye_x 0.35 0.4, eye_y -0.18 -0.1, eye_width 0.19 0.23, eye_height 0.12 0.16, "
        "iris_radius 0.09 0.12, brow_height 0.24 0.29, brow_thickness 0.03 0.055, nose_width 0.09 0.12, "
        "intensity 0.4 1.05, roll -0.28 0.28, yaw -0.2 0.2, background 0.6 1, contrast 0.7 1"
    ),
}


def list_samples(source: Source, votes: bool = False) -> Listing | None:
    """The drawn faces, where the source is `drawn:STYLE`.

    Raises:
        DataError: an unknown style.
    """
    if len(source.names) != 1 or not source.names[0].startswith(DRAWN):
        return None
    style = source.names[0].removeprefix(DRAWN)
    if style not in STYLES:
        raise DataError(f"{source.where}: the drawn sets are {', '.join(DRAWN + known for known in STYLES)}")
    drawn = draw_faces(style)
    rows = zip(drawn.names, drawn.emotions, drawn.splits, drawn.subjects, strict=True)
    return Listing("drawn faces", [RawSample(*row) for row in rows], [], images=drawn.images)


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

    def draw(ranges: Ranges, chances: dict[str, float], count: int) -> Parameters:
        bounds = {name: STYLE_RANGES[style].get(name, both) for name, both in ranges.items()}
        values = {name: rng.uniform(low, high, count) for name, (low, high) in bounds.items()}
        opacities = {k: (rng.random(count) < chance) * rng.uniform(0.7, 1, count) for k, chance in chances.items()}
        return values | opacities

    traits = draw(TRAITS, SUBJECT_CHANCES, subject_ids[-1] + 1)
    traits["brow_tone"] = np.minimum(0.7 * traits["hair_tone"], 0.25)
    conditions = draw(CONDITIONS, PICTURE_CHANCES, len(subject_ids))
    sideways = conditions["light_x"] ** 2 + conditions["light_y"] ** 2
    conditions["light_z"] = np.sqrt(1 - np.minimum(sideways, 0.9))
    return {name: values[subject_ids] for name, values in traits.items()} | conditions


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
        return render(chunk, rng, SIZE)

    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(draw_chunk, range(0, len(columns["scale"]), CHUNK))))
