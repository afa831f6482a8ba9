"""A plot of a scenario: bars by case and server, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import log

from bench.statistics import Summary

COLOURS = ("#1b7f5c", "#3b6fb6", "#c2702c", "#8a5fb0", "#b0475f", "#7a7a7a", "#4aa3a3", "#222222")
WIDTH, LEFT, RIGHT, BAR, GAP = 900, 330, 90, 12, 14


def bars(
    title: str,
    unit: str,
    cases: Mapping[str, Mapping[str, Summary]],
    servers: list[str],
    *,
    is_logarithmic: bool = False,
) -> str:
    """The picture: a bar is the median, its line from the least to the most."""
    shown = {case: {name: by[name] for name in servers if name in by} for case, by in cases.items()}
    length = _scale([one for by in shown.values() for one in by.values()], is_logarithmic=is_logarithmic)
    heading = f"{title}, {unit}" + (" (a logarithmic scale)" if is_logarithmic else "")
    parts, y = [f'<text x="10" y="20" font-weight="bold">{escape(heading)}</text>'], 36
    for number, name in enumerate(servers):
        x = 10 + number * 108
        parts.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{_colour(number)}"/>')
        parts.append(f'<text x="{x + 14}" y="{y + 9}">{escape(name)}</text>')
    y += 28
    for case, by in shown.items():
        parts.append(f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{escape(case)}</text>')
        for name, one in by.items():
            least, width, most = length(one.least), length(one.median), length(one.most)
            colour, digits = _colour(servers.index(name)), 0 if one.median >= 10 else 1
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>'
                f'<line x1="{LEFT + least:.1f}" x2="{LEFT + most:.1f}" y1="{y + 5}" '
                f'y2="{y + 5}" stroke="#000"/>'
                f'<text x="{LEFT + most + 5:.1f}" y="{y + 9}" font-size="10">{one.median:,.{digits}f}</text>'
            )
            y += BAR
        y += GAP if by else BAR + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _scale(shown: Sequence[Summary], *, is_logarithmic: bool) -> Callable[[float], float]:
    """How long a bar is."""
    room = WIDTH - LEFT - RIGHT
    largest = max((one.most for one in shown), default=1.0) or 1.0
    smallest = min((one.least for one in shown if one.least > 0), default=largest)
    if not is_logarithmic or smallest == largest:
        return lambda figure: room * figure / largest
    # The shortest bar is still to be seen.
    bottom = smallest / 2
    return lambda figure: room * log(max(figure, bottom) / bottom) / log(largest / bottom)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
