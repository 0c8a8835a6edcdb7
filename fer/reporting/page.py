"""Self-contained web pages: one file, nothing from the network, light and dark, phone and print."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # whatever stands in it, the page stays mute

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d1f21; --soft: #5c6166; --line: #d9dcdf; --shade: #f5f6f7;
  --link: #00588a; --good: #00588a; --bad: #a84300; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181a; --ink: #e6e7e8; --soft: #a4a9ae; --line: #3a3e42;
  --shade: #1f2225; --link: #7cc4f0; --good: #7cc4f0; --bad: #ffa266; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .4rem; }
p, ul, ol { max-width: 46rem; }
li { margin: .2rem 0; }
a { color: var(--link); }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.wide { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; }
thead th { background: var(--shade); }
.number { text-align: right; white-space: nowrap; }
td:not(.number) { min-width: 6.5rem; }
figure { margin: 1.25rem 0; }
figure img, figure svg { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px;
  border: 1px solid var(--line); }
figcaption { max-width: 46rem; margin-top: .4rem; }
.headline { font-size: 1.15rem; }
.headline strong { font-size: 1.9rem; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: .75rem 0;
  font-size: .95rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; min-width: 0; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr));
  align-items: start; }
.grid figure { margin: 0; }
code, pre { font: .87rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--shade);
  border-radius: 4px; }
code { padding: .1rem .3rem; }
pre { padding: .75rem; overflow-x: auto; border: 1px solid var(--line); }
pre code { padding: 0; background: none; }
details { margin: .75rem 0; }
summary { cursor: pointer; }
@media (max-width: 34rem) { .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: .5rem; }
  th, td { padding: .3rem .4rem; }
  .broad figure { overflow-x: auto; } .broad img { max-width: none; width: 42rem; } .broad figcaption { width: 88vw; } }
@media screen and (prefers-color-scheme: dark) { .chart img { filter: invert(.9) hue-rotate(180deg); } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .wide { overflow: visible; } }
"""


def page(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: plain text; not shown in the page itself, so `body` begins with its own `<h1>`.
        body: HTML, in which every name is escaped already.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, caption: str = "") -> str:
    """A table that scrolls by itself where the page is too narrow for it.

    Args:
        headings: plain text, of each column.
        rows: plain text, as many cells as headings.
        words: columns from the left that hold words; numbers, in all others, are aligned to the right.
        caption: plain text.
    """

    def cells(row: Sequence[str], tag: str, scope: str = "") -> str:
        return "".join(
            f"<{tag}{scope}{' class=number' if column >= words else ''}>{escape(cell)}</{tag}>"
            for column, cell in enumerate(row)
        )

    head = f"<thead><tr>{cells(headings, 'th', ' scope=col')}</tr></thead>"
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    said = f'<p class="soft">{escape(caption)}</p>' if caption else ""  # a <caption> would be as wide as the table
    label = escape(caption or ", ".join(heading for heading in headings if heading))
    scrolling = f'<div class="wide" role="region" tabindex="0" aria-label="{label}">'  # by keyboard too
    return f"{said}{scrolling}<table>{head}<tbody>{body}</tbody></table></div>"


def picture(content: Path | bytes, alt: str, caption: str = "") -> str:
    """A PNG or SVG within the page.

    Args:
        content: the file, or the bytes of a PNG.
        alt: what it shows, for those who do not see it; plain text.
        caption: plain text.
    """
    data = content if isinstance(content, bytes) else content.read_bytes()
    kind = "svg+xml" if isinstance(content, Path) and content.suffix == ".svg" else "png"
    image = f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{image}{said}</figure>"
