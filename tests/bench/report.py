"""The figures with their verdicts, as a table for the terminal, Markdown, JSON and a plot."""

import dataclasses
import json
import math
import statistics
from typing import Callable, Optional


def pairwise(over, under):
    """Ratios of the runs that stood next to each other."""
    return [a / b for a, b in zip(over, under)]


@dataclasses.dataclass
class Figure:
    number: str
    title: str
    values: list
    floor: Optional[float] = None
    goal: Optional[float] = None
    unit: str = "x"
    more_is_better: bool = True
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.values)

    def reaches(self, mark):
        return mark is not None and (self.median >= mark if self.more_is_better else self.median <= mark)

    @property
    def verdict(self):
        if self.floor is None:
            return ""
        if self.reaches(self.goal):
            return "goal"
        return "floor" if self.reaches(self.floor) else "MISSED"

    def text(self, value):
        if value is None:
            return ""
        if self.unit == "%":
            return f"{100 * value:.1f} %" if abs(value) < 1 else f"{100 * value:.0f} %"
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:.{digits}f}{self.unit if self.unit == 'x' else ' ' + self.unit}"

    def row(self):
        spread = f"{self.text(min(self.values))} .. {self.text(max(self.values))}" if len(self.values) > 1 else ""
        sign = "" if self.floor is None else ">= " if self.more_is_better else "<= "
        marks = [sign + self.text(mark) if mark is not None else "" for mark in (self.floor, self.goal)]
        return [self.number, self.title, self.text(self.median), spread, *marks, self.verdict, self.note]


figure_heads = ["#", "figure", "median", "min .. max", "floor", "goal", "reached", "note"]
subject_heads = ["subject", "per second", "min .. max", "server us", "PostgreSQL us", "generator us", "note"]


def subject_row(name, samples, note=""):
    rates = [sample.rate for sample in samples]
    cpu = [statistics.median(s.cpu_us(part) for s in samples) if part in samples[0].cpu else None
           for part in ("server", "postgresql", "generator")]
    return [name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f} .. {max(rates):,.0f}",
            *("" if us is None else f"{us:.1f}" for us in cpu), note]


def markdown_table(heads, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows]]
    return "\n".join(lines) + "\n"


def plain_table(heads, rows):
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [heads, *rows])


# ---- plots --------------------------------------------------------------------------------------------------------

font = 'font-family="sans-serif" font-size="12"'


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plot_figures(figures):
    """One bar a figure: how many times better than its floor (1 = the floor, log scale); the tick is the goal."""
    shown = [f for f in figures if f.floor]
    left, scale, row, parts = 420, 90, 24, []
    better = lambda f, value: value / f.floor if f.more_is_better else f.floor / max(value, f.floor / 1000)
    place = lambda times: left + scale * (math.log2(min(max(times, 0.25), 16)) + 2)
    for i, figure in enumerate(shown):
        y = 40 + i * row
        times = better(figure, figure.median)
        colour = {"goal": "#2a9d52", "floor": "#d6a21e"}.get(figure.verdict, "#c0392b")
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end" {font}>{escaped(figure.number + " " + figure.title)}</text>')
        begin, end = sorted((place(1), place(times)))
        parts.append(f'<rect x="{begin:.1f}" y="{y - 7}" width="{max(end - begin, 1):.1f}" height="14" fill="{colour}"/>')
        if figure.goal:
            x = place(better(figure, figure.goal))
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 10}" y2="{y + 10}" stroke="black" stroke-width="2"/>')
        parts.append(f'<text x="{place(16) + 10:.1f}" y="{y + 4}" {font}>{escaped(figure.text(figure.median))}</text>')
    bottom = 40 + len(shown) * row
    for power in range(-2, 5):
        x = place(2.0**power)
        parts.append(f'<line x1="{x}" x2="{x}" y1="26" y2="{bottom}" stroke="{"black" if power == 0 else "#ccc"}"/>')
        parts.append(f'<text x="{x}" y="20" text-anchor="middle" {font}>{2.0**power:g}x</text>')
    return svg(left + 6 * scale + 130, bottom + 10, parts)


def plot_curve(title, x_label, y_label, series):
    """Lines through (x, y) points; both axes logarithmic."""
    width, height, margin = 640, 380, 70
    points = [point for line in series.values() for point in line]
    low_x, high_x = (f(math.log10(x) for x, _ in points) for f in (min, max))
    low_y, high_y = (f(math.log10(max(y, 1e-3)) for _, y in points) for f in (min, max))
    low_y, high_y = math.floor(low_y), math.ceil(max(high_y, low_y + 0.1))
    span_x = max(high_x - low_x, 0.1)
    at = lambda x, y: (margin + (math.log10(x) - low_x) / span_x * (width - 2 * margin),
                       height - margin - (math.log10(max(y, 1e-3)) - low_y) / (high_y - low_y) * (height - 2 * margin))
    parts = [f'<text x="{width / 2}" y="24" text-anchor="middle" {font}>{escaped(title)}</text>',
             f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle" {font}>{escaped(x_label)}</text>',
             f'<text x="16" y="{height / 2}" text-anchor="middle" transform="rotate(-90 16 {height / 2})" {font}>{escaped(y_label)}</text>']
    for power in range(low_y, high_y + 1):
        _, y = at(10**low_x, 10.0**power)
        parts.append(f'<line x1="{margin}" x2="{width - margin}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                     f'<text x="{margin - 6}" y="{y + 4:.1f}" text-anchor="end" {font}>{10.0**power:g}</text>')
    for x in sorted({x for x, _ in points}):
        parts.append(f'<text x="{at(x, 1)[0]:.1f}" y="{height - margin + 18}" text-anchor="middle" {font}>{x:,.0f}</text>')
    for i, (name, line) in enumerate(series.items()):
        colour = ["#1f6fb4", "#c0392b", "#2a9d52", "#d6a21e", "#7d3c98"][i % 5]
        path = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
                     f'<text x="{margin + 10}" y="{50 + 16 * i}" fill="{colour}" {font}>{escaped(name)}</text>')
    return svg(width, height, parts)


def write(directory, facts, figures, subjects, curves: dict[str, Callable], heading):
    figure_rows = [figure.row() for figure in figures]
    text = heading + "\n" + markdown_table(figure_heads, figure_rows)
    text += "\nEach subject alone: medians of its runs; CPU in microseconds an event (request, job, message).\n\n"
    text += markdown_table(subject_heads, subjects)
    text += "\n" + "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n"
    (directory / "results.md").write_text(text)
    (directory / "results.json").write_text(json.dumps({
        "facts": facts,
        "figures": [{**dataclasses.asdict(f), "median": f.median, "verdict": f.verdict} for f in figures],
        "subjects": [dict(zip(subject_heads, row)) for row in subjects],
    }, indent=1) + "\n")
    (directory / "figures.svg").write_text(plot_figures(figures))
    for name, curve in curves.items():
        (directory / f"{name}.svg").write_text(curve)
    print("\n" + plain_table(figure_heads[:-1], [row[:-1] for row in figure_rows]))
    print("\n" + plain_table(subject_heads, subjects))
    print(f"\nwritten: {directory}/results.md, results.json, " + ", ".join(f"{n}.svg" for n in ["figures", *curves]))
