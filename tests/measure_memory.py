"""Peak memory of predict.py as pictures and videos grow: `PYTHONPATH=. python tests/measure_memory.py WHAT SIZE …`.

WHAT is `crops` or `photographs` (SIZE: how many) or `video` (SIZE: minutes). All are made up here.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from fer.cli.app import CONF
from fer.data.datasets.drawn import draw_faces

RATE, LOOP = 1, 200  # frames a second of the videos; pictures of which they are made, over and over
OPTIONS = {
    "crops": ["faces=none", "annotate=false"],
    "photographs": ["smallest_face=48"],
    "video": ["faces=none", "video.frames_per_second=null"],
}


def made_pictures(with_faces: bool, count: int) -> list[np.ndarray]:
    """Drawn faces, uint8 [64, 64], or frames of 320x240 in which one or two of them wander."""
    random, faces = np.random.default_rng(0), draw_faces("demo", faces=(7, 7, 100)).images
    found = []
    for number in range(count):
        face = cv2.resize(faces[number // 20 % len(faces)], (64, 64), interpolation=cv2.INTER_CUBIC)
        if with_faces:
            frame = np.full((240, 320), 128, np.uint8)
            for x in (10 + number % 100, 240)[: 1 + number % 2]:
                frame[80:176, x : x + 96][:, : 320 - x] = cv2.resize(face, (96, 96))[:, : 320 - x]
            face = frame
        found.append(cv2.add(face, random.integers(0, 8, face.shape, dtype=np.uint8)))
    return found


def make_input(folder: Path, what: str, size: int) -> Path:
    pictures = made_pictures(what != "crops", LOOP)
    if what != "video":
        for number in range(size):
            cv2.imwrite(str(folder / f"{number:06d}.png"), pictures[number % LOOP])
        return folder
    path = folder / "made.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (320, 240))
    for number in range(size * 60 * RATE):
        writer.write(cv2.cvtColor(pictures[number % LOOP], cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def measure(what: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as out:
        script, source = CONF.parent / "scripts" / "predict.py", make_input(Path(made), what, size)
        command = [sys.executable, str(script), f"input={source}", f"output={out}/found", "device=cpu", *OPTIONS[what]]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        bytes_written = {path.name: path.stat().st_size for path in Path(out, "found").iterdir() if path.is_file()}
        seconds = used.ru_utime + used.ru_stime
        print(
            f"{what}, {size:,}: peak {used.ru_maxrss / 1024:,.0f} MiB, {seconds:,.0f} s of CPU; {bytes_written}",
            flush=True,
        )


if __name__ == "__main__":
    for given in sys.argv[2:]:
        measure(sys.argv[1], int(given))
