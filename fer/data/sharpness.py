"""Splits of unequal sharpness brought to the same: what only some of them show, none keeps.

A copy of a data set whose training pictures are blurred teaches a network that meets sharp ones in the test. Power
spectra tell by how much, without any label: where the splits show the same kind of pictures, the ratio of their
spectra is the square of the blur's transfer function. The sharper splits are blurred alike, given noise alike, and
one Wiener filter (Wiener 1949) then restores in all of them what is left above the noise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

LOOKED_AT = 3000  # images of a split whose spectrum is measured
SAME = 0.5  # pixels of blur under which splits count as equally sharp
SMALLEST = 16  # pixels of a side that has a spectrum worth the name
AT_ONCE = 1024  # images filtered together
PIXELS = 1 << 23  # of images held in floating point at once, so that large ones do not fill the memory
ROUNDS = 4  # of blurring the sharpest split and looking again


@dataclass(frozen=True)
class Blur:
    """How splits differ.

    Attributes:
        sigma: by split, standard deviation of the Gaussian that it is blurred by against the sharpest one, pixels.
        noise: variance of the blurriest split's noise, grey levels squared.
        signal: power of the sharpest split by cycles per side, in the units of `spectrum`.
    """

    sigma: dict[str, float]
    noise: float
    signal: np.ndarray

    @property
    def worst(self) -> float:
        return max(self.sigma.values())


def match_sharpness(images: np.ndarray, splits: np.ndarray, seed: int = 0) -> dict[str, Any] | None:
    """Bring all splits to the same sharpness, in place.

    Args:
        images: uint8 [N, S, S] or [N, S, S, 3], writable; a memory-mapped file will do.
        splits: name of each image's split, str [N].
        seed: of the noise.

    Returns:
        What was done, for the manifest: `sigma` of each split as found, `noise`, and `sharp_side`, the side in pixels
        that is enough to show what is left. None where the splits are equally sharp already, and nothing was changed.
    """
    blur = measure_blur(images, splits)
    if blur is None or blur.worst < SAME:
        return None
    side = images.shape[1]
    restoring, cycles = wiener(blur, side)
    generator = torch.Generator().manual_seed(seed)
    for split, sigma in blur.sigma.items():
        missing = max(0.0, blur.worst**2 - sigma**2) ** 0.5
        rows = np.flatnonzero(splits == split)
        for some in np.array_split(rows, -(-len(rows) // _most(images, AT_ONCE))):
            faces = torch.from_numpy(images[some]).to(torch.float32)
            if missing >= SAME:
                faces = _filter(faces, gaussian(missing, side))
                faces += blur.noise**0.5 * torch.randn(faces.shape, generator=generator)
                faces = faces.round().clamp(0, 255)
            images[some] = _filter(faces, restoring).round().clamp(0, 255).to(torch.uint8).numpy()
    return {
        "sigma": {split: round(sigma, 2) for split, sigma in blur.sigma.items()},
        "noise": round(blur.noise, 3),
        "sharp_side": min(side, 2 * (cycles + 1)),
    }


def measure_blur(images: np.ndarray, splits: np.ndarray) -> Blur | None:
    """How much blurrier each split is than the sharpest; None where that has no answer (one split, tiny images)."""
    names = list(dict.fromkeys(splits.tolist()))
    side = images.shape[1]
    if len(names) < 2 or side != images.shape[2] or side < SMALLEST:
        return None
    seen = {name: images[evenly(splits == name, _most(images, LOOKED_AT))] for name in names}
    power = {name: spectrum(faces) for name, faces in seen.items()}
    upper = slice(side // 4, side // 2)
    sharpest = max(names, key=lambda name: power[name][upper].sum())
    reference = torch.from_numpy(seen[sharpest]).to(torch.float32)
    sigma = {name: 0.0 if name == sharpest else _sigma(power[name], reference) for name in names}
    blurriest = max(names, key=lambda name: sigma[name])
    noise = float(np.median(power[blurriest][upper]) / (_window(side) ** 2).sum())
    return Blur(sigma, max(noise, 1 / 12), power[sharpest])


def spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power by cycles per side, float64 [S // 2 + 1], under a Hann window; colours averaged."""
    side = images.shape[1]
    faces = images.astype(np.float64)
    if faces.ndim == 4:
        faces = faces.mean(axis=3)
    faces -= faces.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(faces * _window(side))) ** 2).mean(axis=0)
    cycles = np.round(_frequency(side) * side).astype(int).ravel()
    total = np.bincount(cycles, power.ravel())
    return (total / np.bincount(cycles))[: side // 2 + 1]


def wiener(blur: Blur, side: int) -> tuple[torch.Tensor, int]:
    """The filter that undoes the worst blur as far as the noise lets it, and the cycles per side that it brings back.

    Returns:
        Transfer function of mirrored images, float [2S, 2S], and the highest frequency where signal outweighs noise.
    """
    cycles = np.arange(len(blur.signal))
    noise = blur.noise * (_window(side) ** 2).sum()
    over = np.flatnonzero(_transfer(blur.worst, cycles / side) ** 2 * blur.signal > noise)
    frequency = _frequency(2 * side)
    signal = np.exp(np.interp(frequency * side, cycles, np.log(np.maximum(blur.signal, 1e-9))))
    passed = _transfer(blur.worst, frequency)
    return torch.from_numpy(passed / (passed**2 + noise / signal)).float(), int(over.max(initial=1))


def gaussian(sigma: float, side: int) -> torch.Tensor:
    """Transfer function of a Gaussian blur of mirrored images, float [2S, 2S]."""
    return torch.from_numpy(_transfer(sigma, _frequency(2 * side))).float()


def _filter(faces: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """Filter images, float [B, S, S] or [B, S, S, 3], mirrored beyond their edges."""
    mirrored = torch.cat([faces, faces.flip(1)], dim=1)
    mirrored = torch.cat([mirrored, mirrored.flip(2)], dim=2)
    shaped = transfer if faces.ndim == 3 else transfer[..., None]
    back = torch.fft.ifft2(torch.fft.fft2(mirrored, dim=(1, 2)) * shaped, dim=(1, 2)).real
    return back[:, : faces.shape[1], : faces.shape[2]]


def _sigma(blurred: np.ndarray, reference: torch.Tensor) -> float:
    """Of the Gaussian between a spectrum and sharp images, float [B, S, S] or [B, S, S, 3].

    A line through the logarithm of the ratio of the spectra, where signal outweighs noise, against squared frequency.
    The window lets power leak to frequencies that the blur has emptied, so the images are blurred by what was found
    and compared again.
    """
    side, square = reference.shape[1], 0.0
    floor = np.median(blurred[side // 4 :])
    heard = blurred[1:] > 4 * floor
    upto = len(heard) if heard.all() else int(np.argmin(heard))
    if upto < 2:
        return 0.0
    squares = (np.arange(1, upto + 1) / side) ** 2
    for _ in range(ROUNDS):
        alike = spectrum(_filter(reference, gaussian(square**0.5, side)).numpy())
        slope = np.polyfit(squares, np.log(alike[1 : upto + 1] / blurred[1 : upto + 1]), 1)[0]
        square = max(0.0, square + slope / (2 * np.pi) ** 2)
    return float(square**0.5)


def _transfer(sigma: float, frequency: np.ndarray) -> np.ndarray:
    """What a Gaussian blur, in pixels, leaves of each frequency, in cycles per pixel."""
    return np.exp(-2 * (np.pi * sigma * frequency) ** 2)


def _frequency(side: int) -> np.ndarray:
    """Cycles per pixel of each coefficient, float [S, S]."""
    axis = np.fft.fftfreq(side)
    return np.hypot(axis[:, None], axis[None, :])


def _window(side: int) -> np.ndarray:
    return np.outer(np.hanning(side), np.hanning(side))


def _most(images: np.ndarray, count: int) -> int:
    """As many images as `PIXELS` allows, `count` at most."""
    return max(1, min(count, PIXELS // int(np.prod(images.shape[1:]))))


def evenly(chosen: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, evenly spaced, of those chosen, bool [N]."""
    rows = np.flatnonzero(chosen)
    return rows[:: -(-len(rows) // most)]
