"""Runs contrib/demo on a terminal and prints what it shows as an animated SVG.

    python3 contrib/picture-demo.py [ARGUMENTS OF contrib/demo]

contrib/picture calls it, with a Python that has pyte. A terminal emulator makes the lines of what the demo writes; each is
text in the picture, with the time from which it is seen. Nothing that the demo writes is changed. The first parts of the
demo are left out, waits are cut short, and each part stays long enough to be read.
"""

import bisect
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from html import escape

import pyte

# What the demo's terminal has, in characters.
COLUMNS, ROWS = 100, 20
# A terminal so high that no line leaves it; what has scrolled away is moved out of sight in the picture.
ALL_ROWS = 2000
# The parts of the demo that are not shown, by the beginning of their titles: what is made ready.
LEFT_OUT = ("The programs", "The instance", "Its joiner", "AWS Session Manager")
# A title as contrib/demo writes it on a terminal, with the empty line above it.
TITLE = re.compile(rb"(?:^|\r\n)\x1b\[1m([^\x1b]+)\x1b\[0m\r\n")

# In seconds: the longest wait that is shown, how long a part and each of its lines is to be seen at least, the end.
LONGEST, PART, LINE, END = 0.8, 0.8, 0.3, 6.0
# Output that comes within this time is seen at once.
TOGETHER = 0.03

# In pixels: a character, and what is around them.
WIDTH, HEIGHT, MARGIN, HEAD = 7.7, 18, 15, 34
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
PAPER, EDGE, INK, PALE = ("#f6f8fa", "#161b22"), ("#d0d7de", "#30363d"), ("#1f2328", "#e6edf3"), ("#59636e", "#9198a1")
# The colours of a terminal by the emulator's names, light and dark.
COLOURS = {
    "black": INK,
    "red": ("#b3261e", "#ff7b72"),
    "green": ("#116329", "#56d364"),
    "brown": ("#7d4e00", "#e3b341"),
    "blue": ("#0550ae", "#79c0ff"),
    "magenta": ("#8250df", "#d2a8ff"),
    "cyan": ("#0a6c74", "#56d4dd"),
    "white": INK,
}


def record(command):
    """Runs the command on a terminal: all its output, and the times at which its pieces came with where they begin."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8", TMPDIR="/tmp")
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    output, times, begins = bytearray(), [], []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # as Linux says that the terminal has nobody left
            piece = b""
        if not piece:
            break
        times.append(time.monotonic())
        begins.append(len(output))
        output += piece
        sys.stderr.buffer.write(piece)
        sys.stderr.buffer.flush()
    os.close(ours)
    if child.wait() != 0:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}")
    return bytes(output), times, begins


def parts(output):
    """The parts that are shown: where each begins and ends."""
    titles = list(TITLE.finditer(output))
    ends = [title.start() for title in titles[1:]] + [len(output)]
    for title, end in zip(titles, ends):
        if not title[1].decode().startswith(LEFT_OUT):
            yield title.start(), end


def pieces(start, end, times, begins):
    """What came between two places of the output: when, and from where to where."""
    first = bisect.bisect_right(begins, start) - 1
    for number in range(first, len(begins)):
        if begins[number] >= end:
            break
        after = begins[number + 1] if number + 1 < len(begins) else end
        yield times[number], max(start, begins[number]), min(end, after)


def rows(screen):
    """The lines up to the cursor, each a tuple of texts with their classes."""
    for row in range(screen.cursor.y + 1):
        line = []
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            style = " ".join(filter(None, [cell.fg if cell.fg in COLOURS else "", "bold" if cell.bold else ""]))
            if line and line[-1][1] == style:
                line[-1][0] += cell.data
            else:
                line.append([cell.data, style])
        while line and not line[-1][0].rstrip():
            line.pop()
        if line:
            line[-1][0] = line[-1][0].rstrip()
        yield tuple((text, style) for text, style in line)


class Film:
    """What is seen, and from when to when."""

    def __init__(self):
        self.lines = []  # what a row shows: row, line, from, to (None: to the end)
        self.scrolls = {}  # from when on how many rows are out of sight
        self.shown = {}  # of each row, the index in `lines` of what it shows now
        self.length = 0.0

    def show(self, now, screen):
        for row, line in enumerate(rows(screen)):
            index = self.shown.get(row)
            if index is not None:
                _, before, since, _ = self.lines[index]
                if before == line:
                    continue
                self.lines[index] = (row, before, since, now)
                del self.shown[row]
            if line:
                self.shown[row] = len(self.lines)
                self.lines.append((row, line, now, None))
        self.scrolls[now] = max(0, screen.cursor.y + 1 - ROWS)

    def end(self, now):
        """What was replaced at once was never seen."""
        self.lines = [line for line in self.lines if line[2] != line[3]]
        self.length = now


def film(output, times, begins):
    screen = pyte.Screen(COLUMNS, ALL_ROWS)
    stream = pyte.ByteStream(screen)
    made, now, number = Film(), 0.0, 0
    for number, (start, end) in enumerate(parts(output), 1):
        begun, before = now, None
        first = screen.cursor.y
        for at, low, high in pieces(start, end, times, begins):
            wait = 0.0 if before is None else min(at - before, LONGEST)
            before = at
            now += wait if wait > TOGETHER else 0.0
            stream.feed(output[low:high])
            made.show(now, screen)
        # The next part waits until this one has been read.
        now = max(now, begun + PART + LINE * (screen.cursor.y - first))
    if number < 2:
        sys.exit("contrib/demo has shown no parts with titles that are known here")
    if screen.cursor.y + 1 >= ALL_ROWS:
        sys.exit(f"contrib/demo has shown more than {ALL_ROWS} lines")
    made.end(now + END)
    return made


def style(film):
    """The style sheet: the two looks, and from when to when each line is seen."""

    def look(number):
        yield f".paper{{fill:{PAPER[number]};stroke:{EDGE[number]}}}"
        yield f"text{{fill:{INK[number]}}}.pale{{fill:{PALE[number]}}}"
        used = {word for _, line, _, _ in film.lines for _, style in line for word in style.split()}
        yield from (f".{name}{{fill:{COLOURS[name][number]}}}" for name in sorted(used & COLOURS.keys()))

    def percent(at):
        return f"{at / film.length * 100:.3f}".rstrip("0").rstrip(".") + "%"

    def animation(name):
        return f"animation:{name} {film.length:.1f}s step-end infinite"

    yield from look(0)
    yield "text{white-space:pre}.bold{font-weight:bold}"
    for name, (since, until) in times_seen(film).items():
        steps = f"0%{{opacity:0}}{percent(since)}{{opacity:1}}" if since else "0%{opacity:1}"
        steps += f"{percent(until)}{{opacity:0}}" if until is not None else ""
        yield f"@keyframes {name}{{{steps}}}.{name}{{opacity:{int(until is None)};{animation(name)}}}"
    moved = {at: f"transform:translateY({-HEIGHT * hidden}px)" for at, hidden in film.scrolls.items()}
    steps = "".join(f"{percent(at)}{{{move}}}" for at, move in moved.items())
    last = list(moved.values())[-1]
    yield f"@keyframes roll{{{steps}}}.roll{{{last};{animation('roll')}}}"
    yield "@media (prefers-color-scheme:dark){" + "".join(look(1)) + "}"
    yield "@media (prefers-reduced-motion:reduce){.roll,.roll *{animation:none}}"


def times_seen(film):
    """A name for each pair of times from and to which lines are seen."""
    pairs = sorted({(since, until) for _, _, since, until in film.lines}, key=str)
    return {f"t{number}": pair for number, pair in enumerate(pairs)}


def draw(film):
    width, height = round(COLUMNS * WIDTH + 2 * MARGIN), HEAD + ROWS * HEIGHT + MARGIN
    names = {pair: name for name, pair in times_seen(film).items()}
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-labelledby="title about" font-family="{FONTS}" font-size="12.8" xml:space="preserve">'
    )
    yield '<title id="title">ssh over Session Manager, on one machine</title>'
    yield '<desc id="about">A recording of contrib/demo, made by contrib/picture. Its lines are the text below.</desc>'
    yield "<style>"
    yield from style(film)
    yield "</style>"
    yield f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    yield f'<text class="pale" x="{MARGIN}" y="22">contrib/demo, recorded, with a stand-in for AWS on this machine; waits are cut short</text>'
    yield f'<svg x="{MARGIN}" y="{HEAD}" width="{width - 2 * MARGIN}" height="{ROWS * HEIGHT}"><g class="roll">'
    for row, line, since, until in film.lines:
        # Spaces at the beginning are a place.
        whole = "".join(text for text, _ in line)
        indent = len(whole) - len(whole.lstrip())
        left, spans = indent, []
        for text, style_name in line:
            cut = min(left, len(text))
            left -= cut
            text = escape(text[cut:], quote=False)
            spans.append(f'<tspan class="{style_name}">{text}</tspan>' if style_name and text else text)
        place = f'x="{indent * WIDTH:g}" y="{row * HEIGHT + 13}" textLength="{(len(whole) - indent) * WIDTH:.1f}"'
        yield f'<text class="{names[since, until]}" {place}>{"".join(spans)}</text>'
    yield "</g></svg>"
    yield "</svg>"


def main(arguments):
    output, times, begins = record(["contrib/demo", *arguments])
    print("\n".join(draw(film(output, times, begins))))


if __name__ == "__main__":
    main(sys.argv[1:])
