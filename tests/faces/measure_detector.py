"""How many faces the detector finds, how many it invents, and what it takes: the table in docs/prediction.md.

    python -m tests.faces.measure_detector data/fer2013

Takes a pack of FER2013, and the sample pictures of scikit-image and scikit-learn, which the project does not need. With
OpenCV 4 the time of its Haar cascade is printed beside; the counts of both are of the same pictures.
"""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fer.data.datasets.drawn import draw_faces
from fer.data.pack import open_pack
from fer.faces.box import FaceBox, overlap
from fer.faces.detector import find_faces

Find = Callable[[np.ndarray], list[FaceBox]]
SIDES = (24, 28, 34, 40, 48, 58, 68, 82, 98, 118, 140, 168, 200)  # of pasted faces, pixels
ASTRONAUT = (158, 54, 130)  # left, top and side of the face in scikit-image's photograph
PHOTOGRAPHS = (
    "brick grass gravel coffee rocket motorcycle_left motorcycle_right chelsea cell coins color horse ihc moon"
)
PHOTOGRAPHS += " page phantom text clock_motion logo"


def haar() -> Find:
    """The cascade as versions before 2026-11-28 used it."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")

    def find(picture: np.ndarray) -> list[FaceBox]:
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        shrink = max(1.0, max(grey.shape) / 1280)
        grey = cv2.resize(grey, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        smallest = max(24, min(grey.shape) // 20)
        boxes = cascade.detectMultiScale(grey, 1.08, 5, minSize=(smallest, smallest))
        return [FaceBox(*(float(value) * shrink for value in box[:3])) for box in boxes]

    return find


def resized(face: np.ndarray, side: int) -> np.ndarray:
    shrink = side < len(face)
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def with_border(face: np.ndarray, side: int, share: float = 0.5) -> np.ndarray:
    border = round(share * side)
    return cv2.copyMakeBorder(resized(face, side), border, border, border, border, cv2.BORDER_REPLICATE)


def pasted(background: np.ndarray, faces: list[np.ndarray]) -> tuple[np.ndarray, list[FaceBox]]:
    """A picture with a face of each of SIDES, and where they are."""
    picture, places = background.copy(), []
    for number, (side, face) in enumerate(zip(SIDES, faces, strict=True)):
        left, top = 100 + number % 7 * 250, 150 + number // 7 * 500
        face = resized(face, side)
        picture[top : top + side, left : left + side] = face if face.ndim == 3 else face[..., None]
        places.append(FaceBox(left, top, side))
    return picture, places


def tilted(picture: np.ndarray, degrees: float) -> np.ndarray:
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def sample_pictures() -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures without a face, uint8 [H, W, 3], and the astronaut."""
    import skimage
    import sklearn

    paths = [next((Path(skimage.__file__).parent / "data").glob(f"{name}.*g")) for name in PHOTOGRAPHS.split()]
    paths += sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return pictures, np.asarray(Image.open(paths[0].with_name("astronaut.png")).convert("RGB"))


def faceless(pictures: list[np.ndarray], count: int = 200) -> list[np.ndarray]:
    """Whole pictures, and random squares of them."""
    rng = np.random.default_rng(0)
    found = list(pictures)
    while len(found) < count:
        picture = pictures[len(found) % len(pictures)]
        side = int(min(picture.shape[:2]) * rng.uniform(0.3, 0.9))
        top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        found.append(picture[top : top + side, left : left + side])
    return found


def report(what: str, finders: dict[str, Find], pictures: Iterable[np.ndarray], places: list | None = None) -> None:
    """Print the share of pictures with a face, or of places where one is found, and the seconds per megapixel."""
    pictures, cells = list(pictures), []
    pixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6
    for find in finders.values():
        started = time.process_time()
        found = [find(picture) for picture in pictures]
        seconds = time.process_time() - started
        if places is None:
            hits = [bool(boxes) for boxes in found]
        else:
            hits = [
                any(overlap(box, place) > 0.3 for box in b) for b, of in zip(found, places, strict=True) for place in of
            ]
        cells += [f"{np.mean(hits):.1%}", f"{seconds / pixels:.2f}"]
    print("|", " | ".join([what, *cells]), "|", flush=True)


def main(folder: str) -> None:
    cv2.setNumThreads(1)
    finders: dict[str, Find] = {"YuNet": find_faces}
    if hasattr(cv2, "CascadeClassifier"):
        finders["Haar"] = haar()
    pack = open_pack(folder)
    rows = np.flatnonzero(pack.splits == "val")
    faces = pack.images[rows[np.linspace(0, len(rows) - 1, 400).astype(int)]]
    pictures, astronaut = sample_pictures()
    left, top, side = ASTRONAUT
    drawn, real = list(draw_faces("demo", faces=(100, 7, 7)).images), [astronaut[top : top + side, left : left + side]]
    print("| pictures |", " | ".join(f"{name} | s per million pixels" for name in finders), "|", flush=True)
    for size in (96, 192):
        report(f"400 PublicTest faces, {size} px", finders, [with_border(face, size) for face in faces])
    for width, height in ((1920, 1280), (3840, 2160)):
        for name, which in (("drawn", drawn), ("astronaut's", real)):
            made = [
                pasted(cv2.resize(pictures[n], (width, height)), [which[(13 * n + k) % len(which)] for k in range(13)])
                for n in (0, 3, 4)
            ]
            places = [of for _, of in made]
            report(f"{name} face, 24-200 px in {width}x{height}", finders, [picture for picture, _ in made], places)
    upright = [with_border(face, 160, 0.7) for face in [*drawn[:20], *faces[:20]]]
    for degrees in (20, 30, 45):
        turned = [tilted(picture, sign * degrees) for picture in [*upright, astronaut] for sign in (-1, 1)]
        report(f"drawn and PublicTest faces, 160 px, tilted by {degrees}°", finders, turned)
    report("200 pictures without a face (false faces)", finders, faceless(pictures))


if __name__ == "__main__":
    main(*sys.argv[1:])
