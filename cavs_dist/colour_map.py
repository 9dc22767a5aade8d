"""A colour map for spectrograms: equal steps of a value are equal steps to the eye, from dark to light."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

# From OKLab to the cube roots of cone responses, and from these to linear sRGB (Ottosson, 2020).
TO_CONES = ((1.0, 0.3963377774, 0.2158037573), (1.0, -0.1055613458, -0.0638541728), (1.0, -0.0894841775, -1.2914855480))
TO_LINEAR = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)
STEPS = 256


@cache
def colour_map() -> NDArray[np.uint8]:
    """Return [256, 3] sRGB: night blue, violet, red, orange, pale yellow, evenly spaced in OKLab."""
    fine = _path(np.linspace(0, 1, 64 * STEPS))
    length = np.append(0, np.linalg.norm(np.diff(fine, axis=0), axis=1).cumsum())
    wanted = np.linspace(0, length[-1], STEPS)
    even = np.stack([np.interp(wanted, length, fine[:, axis]) for axis in range(3)], axis=1)
    linear = ((even @ np.array(TO_CONES).T) ** 3 @ np.array(TO_LINEAR).T).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * encoded).round().astype(np.uint8)


def css_gradient() -> str:
    """Return the map as a CSS gradient from left to right."""
    stops = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in colour_map()[:: STEPS // 15].tolist())
    return f"linear-gradient(90deg, {', '.join(stops)})"


def _path(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the colours [N, 3] in OKLab at places 0 to 1, inside what screens show."""
    lightness = 0.17 + 0.80 * place
    chroma = 0.045 + 0.125 * np.sin(np.pi * place**0.9)
    hue = np.deg2rad(280 + 180 * place)
    return np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
