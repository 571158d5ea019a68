"""Draws the logins and copies of a table that benches/run --markdown has printed.

    python3 contrib/picture-plot.py PAGE                  prints the picture of the page's table, as SVG
    python3 contrib/picture-plot.py --table FILE PAGE     puts the rows of the file's table in place of the page's

contrib/picture calls it. AWS's own client is not measured here: what is drawn of it was reported, and is said to be.
"""

import math
import re
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

# The rows of the table that are drawn, by its first column.
GOAL = "10 login"
# What was reported of AWS's client, in MB/s, and where.
REPORTED, SOURCE = (0.6, 0.8), "github.com/aws/amazon-ssm-agent/issues/664"

# In pixels: the picture, the scale within it, a bar with what is around it, a scale with its title and numbers.
WIDTH, LEFT, RIGHT, ROW, BAR, PANEL = 800, 200, 620, 24, 14, 62
FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
# Each class, light and dark.
LOOKS = {
    ".paper": ("fill:#fff;stroke:#d0d7de", "fill:#0d1117;stroke:#30363d"),
    "text": ("fill:#1f2328", "fill:#e6edf3"),
    ".pale": ("fill:#59636e", "fill:#9198a1"),
    ".grid": ("stroke:#d8dee4", "stroke:#262c34"),
    ".ours": ("fill:#0969da", "fill:#4493f8"),
    ".aws": ("fill:#fff8c5;stroke:#9a6700", "fill:#3a2d0c;stroke:#d29922"),
    ".direct": ("fill:#8c959f", "fill:#6e7681"),
    ".spread": ("stroke:#1f2328", "stroke:#e6edf3"),
    ".cut": ("stroke:#fff", "stroke:#0d1117"),
}


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def is_drawn(line):
    return cells(line)[:1] == [GOAL]


def figure(text):
    """The number with which a text begins."""
    found = re.match(r"[\d.]+", text)
    if not found:
        sys.exit(f"no number: {text!r}")
    return float(found[0])


class Measured:
    """A row: what was done, the round trip, ssm-proxy's figure with its spread, and that of a direct ssh."""

    def __init__(self, line):
        _, what, self.result, spread, baseline, *_ = cells(line)
        found = re.fullmatch(r"(.+), TLS, (\d+ ms)", what)
        if not found or not baseline.endswith(" direct ssh"):
            sys.exit(f"not as benches/run prints it, or with a complaint: {line}")
        self.what, self.round_trip = found.groups()
        self.direct = baseline.removesuffix(" direct ssh")
        self.spread = tuple(figure(end) for end in spread.split(" to "))


@dataclass
class Bar:
    name: str
    label: str
    kind: str = ""
    low: float = 0.0
    high: float = 0.0
    spread: tuple = ()


def scale(most):
    """The step of a scale that reaches at least this far, and its end."""
    step = next(step for power in range(-3, 6) for step in (10**power, 2 * 10**power, 5 * 10**power) if most / step <= 6)
    return step, math.ceil(most / step) * step


def panel(top, title, unit, bars, reach):
    """Bars over a scale that reaches so far. A bar that is longer is cut, and its label says how long it is."""
    step, most = scale(reach)
    height = ROW * len(bars)

    def place(value):
        return LEFT + value / most * (RIGHT - LEFT)

    yield f'<text class="title" x="20" y="{top + 14}">{escape(title)}</text>'
    top += 28
    for number in range(round(most / step) + 1):
        x, last = place(number * step), number == round(most / step)
        label = f"{number * step:g}" + (f" {unit}" if last else "")
        yield f'<path class="grid" d="M{x:.1f} {top}v{height}"/>'
        yield f'<text class="pale" x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{label}</text>'
    for number, bar in enumerate(bars):
        middle = top + ROW * number + ROW / 2
        start, end = place(bar.low), place(min(bar.high, most))
        yield f'<text x="{LEFT - 10}" y="{middle + 4.5}" text-anchor="end">{escape(bar.name)}</text>'
        if bar.kind:
            box = f'x="{start:.1f}" y="{middle - BAR / 2}" width="{end - start:.1f}" height="{BAR}"'
            yield f'<rect class="{bar.kind}" {box}/>'
        if bar.high > most:
            for shift in (-34, -26):
                yield f'<path class="cut" d="M{end + shift:.1f} {middle + BAR / 2 + 1}l6 {-BAR - 2}"/>'
        if bar.spread:
            low, high = map(place, bar.spread)
            yield f'<path class="spread" d="M{low:.1f} {middle}H{high:.1f}"/>'
            end = max(end, high)
        yield f'<text class="pale" x="{end + 8:.1f}" y="{middle + 4.5}">{escape(bar.label)}</text>'


def pair(row, name):
    """The bars of a row."""
    ours = Bar(f"ssm-proxy, {name}", row.result, "ours", high=figure(row.result), spread=row.spread)
    return ours, Bar(f"direct ssh, {name}", row.direct, "direct", high=figure(row.direct))


def panels(measured):
    """What is drawn: title, unit, bars, and how far the scale has to reach."""
    copies = [row for row in measured if row.what.startswith("scp ")]
    logins = [row for row in measured if row.what.startswith("ssh ")]
    if not copies or not logins:
        sys.exit(f"the table has no logins, or no copies: benches/run --only login --markdown prints these rows, {GOAL}")
    size, away = copies[0].what.split(" of ")[1].rsplit(" ", 1)[0], copies[0].round_trip
    ours, direct = zip(*(pair(row, row.what.rsplit(" ", 1)[1]) for row in copies))
    low, high = REPORTED
    aws = Bar("AWS's client, reported", f"{low} to {high} MB/s", "aws", low, high)
    reach = max(high, *(end for bar in ours for end in bar.spread))
    yield f"Copy: scp of {size}, {away} away; longer is better", "MB/s", [*ours, aws, *direct], reach

    bars = [bar for row in logins for bar in pair(row, f"{row.round_trip} away")]
    reach = max(end for bar in bars for end in (bar.high, *bar.spread))
    bars.append(Bar("AWS's client", "no figure is documented"))
    yield "Log in: ssh HOST true, from start to end; shorter is better", "ms", bars, reach


def draw(measured):
    drawn, top = [], 16
    for title, unit, bars, reach in panels(measured):
        drawn.extend(panel(top, title, unit, bars, reach))
        top += PANEL + ROW * len(bars)
    for note in (
        "ssm-proxy: through a stand-in of the service that keeps to its limits. Direct ssh: the same sshd in the same run, without them.",
        f"AWS's client was not measured here: what a user of its port forwards saw, {SOURCE}",
    ):
        drawn.append(f'<text class="pale note" x="20" y="{top + 10}">{escape(note, quote=False)}</text>')
        top += 18
    height = top + 8
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-labelledby="title about" font-family="{FONTS}" font-size="13">'
    )
    yield '<title id="title">Copies and logins: ssm-proxy, AWS\'s client, and a direct ssh</title>'
    yield '<desc id="about">Drawn by contrib/picture from the table in docs/performance.md.</desc>'
    yield "<style>"
    yield from (f"{name}{{{light}}}" for name, (light, _) in LOOKS.items())
    yield ".title{font-weight:600}.note{font-size:12px}.cut{stroke-width:3}"
    yield "@media (prefers-color-scheme:dark){"
    yield from (f"{name}{{{dark}}}" for name, (_, dark) in LOOKS.items())
    yield "}"
    yield "</style>"
    yield f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>'
    yield from drawn
    yield "</svg>"


def replaced(page, table):
    """The page with the rows of the table in place of its own, each in the form of the page."""
    rows = ["| " + " | ".join(cells(line)) + " |" for line in table.splitlines() if is_drawn(line)]
    rows = [re.sub(r"\| +(?=\|)", "| ", row) for row in rows]
    if not rows:
        sys.exit(f"the new table has no rows of {GOAL}")
    lines = page.splitlines()
    old = [number for number, line in enumerate(lines) if is_drawn(line)]
    if not old or old != list(range(old[0], old[0] + len(old))):
        sys.exit(f"the page has no place for the rows of {GOAL}")
    return "\n".join(lines[: old[0]] + rows + lines[old[-1] + 1 :]) + "\n"


def main(arguments):
    if arguments[:1] == ["--table"]:
        _, table, page = arguments
        Path(page).write_text(replaced(Path(page).read_text("utf-8"), Path(table).read_text("utf-8")), "utf-8")
    else:
        (page,) = arguments
        print("\n".join(draw([Measured(line) for line in Path(page).read_text("utf-8").splitlines() if is_drawn(line)])))


if __name__ == "__main__":
    main(sys.argv[1:])
