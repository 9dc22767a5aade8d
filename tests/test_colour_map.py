import numpy as np

from cavs_dist.colour_map import TO_CONES, TO_LINEAR, colour_map, css_gradient


def oklab(srgb: np.ndarray) -> np.ndarray:
    values = srgb / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ np.linalg.inv(TO_LINEAR).T) @ np.linalg.inv(TO_CONES).T


def test_white_has_lightness_1_and_no_colour() -> None:
    assert np.allclose(oklab(np.array([255.0, 255.0, 255.0])), [1, 0, 0], atol=1e-3)


def test_equal_steps_are_equally_far_to_the_eye_and_ever_lighter() -> None:
    seen = oklab(colour_map()[::15].astype(float))
    steps = np.linalg.norm(np.diff(seen, axis=0), axis=1)
    assert steps.min() > 0.9 * steps.max()
    assert (np.diff(seen[:, 0]) > 0.01).all()
    assert seen[0, 0] < 0.2 and seen[-1, 0] > 0.95


def test_the_scale_goes_from_the_first_colour_to_the_last() -> None:
    first, last = ("#{:02x}{:02x}{:02x}".format(*colour_map()[place].tolist()) for place in (0, -1))
    assert css_gradient().startswith(f"linear-gradient(90deg, {first}, ") and css_gradient().endswith(f"{last})")
