"""The report's colours: told apart with normal and with colour-blind eyes, on white and on black."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# The first seven are Okabe and Ito's; each later one is the candidate farthest from all before it, in OKLab, seen
# with normal, protanope, deuteranope and tritanope eyes (simulated after Machado et al. 2009).
CLASS_COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7e3306"),
    *("#75f7ef", "#653a68", "#8a63fe", "#1035c2", "#8ec899", "#8e4c57", "#b5f1a8", "#5ad7f3"),
    *("#b04b25", "#8a84e5", "#553791", "#6eb170", "#a5d670", "#7a5283", "#7348e2", "#c231ac"),
)


@dataclass(frozen=True)
class Style:
    """How a run's lines are drawn. colour: a CSS colour. dash: SVG dash lengths. mark: SVG path around (0, 0)."""

    colour: str
    dash: str
    mark: str


# The page's theme gives the colours, light or dark; dashes and marks tell runs apart without them.
RUN_STYLES = (
    Style("var(--run-0)", "", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"),
    Style("var(--run-1)", "7 4", "M-3.6-3.6h7.2v7.2h-7.2z"),
    Style("var(--run-2)", "2 4", "M0-5l4.6 8h-9.2z"),
    Style("var(--run-3)", "9 3 2 3", "M0-5l5 5-5 5-5-5z"),
    Style("var(--run-4)", "12 3", "M0 5l4.6-8h-9.2z"),
    Style("var(--run-5)", "4 2", "M-5-1.5h3.5v-3.5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5z"),
)


def class_colours(names: Iterable[str]) -> dict[str, str]:
    """Give each name a colour, in order; after 24 they come again."""
    return {name: CLASS_COLOURS[place % len(CLASS_COLOURS)] for place, name in enumerate(names)}


def run_styles(names: Iterable[str]) -> Mapping[str, Style]:
    """Give each run a style, in order; after six they come again."""
    return {name: RUN_STYLES[place % len(RUN_STYLES)] for place, name in enumerate(names)}
