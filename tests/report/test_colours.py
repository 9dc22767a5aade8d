from itertools import combinations

import numpy as np
from PIL import ImageColor

from cavs_dist.report.colours import CLASS_COLOURS, RUN_STYLES, class_colours, run_styles

# What a deuteranope sees of linear RGB (Machado et al. 2009, severity 1).
DEUTERANOPE = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])


def test_the_first_eight_class_colours_differ_to_colour_blind_eyes() -> None:
    rgb = np.array([ImageColor.getrgb(colour) for colour in CLASS_COLOURS[:8]]) / 255
    seen = np.clip(rgb**2.2 @ DEUTERANOPE.T, 0, 1) ** (1 / 2.2)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.15


def test_names_get_colours_in_order_and_colours_come_again() -> None:
    names = [f"class {number}" for number in range(30)]
    colours = class_colours(names)
    assert len(set(CLASS_COLOURS)) == 24
    assert colours["class 0"] == CLASS_COLOURS[0] == colours["class 24"]


def test_runs_differ_without_colour() -> None:
    assert len({style.dash for style in RUN_STYLES}) == len({style.mark for style in RUN_STYLES}) == 6
    assert run_styles(["a", "b"])["b"] == RUN_STYLES[1]
