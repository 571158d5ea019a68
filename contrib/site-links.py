"""Fails if a link of the pages in a folder leads to no file in it, or to no place in that file.

    python3 contrib/site-links.py FOLDER
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places in it that links may lead to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places.update(attrs[name] for name in ("id", "name") if attrs.get(name))
        self.links.update(attrs[name] for name in ("href", "src") if attrs.get(name))


def astray(folder, path, pages):
    """The links of the page at `path` that lead nowhere."""
    for link in pages[path].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_relative_to(folder) or not target.is_file():
            yield f"{link} is no file"
        elif target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].places:
            yield f"{link} has no such place"


def main(folder):
    folder = Path(folder).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    # The page for what is not there is served from any folder.
    pages.pop(folder / "404.html", None)
    problems = [f"{path.relative_to(folder)}: {problem}" for path in pages for problem in astray(folder, path, pages)]
    print(*problems or [f"{len(pages)} pages, and each of their links leads somewhere."], sep="\n")
    return bool(problems) or len(pages) < 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
