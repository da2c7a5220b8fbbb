"""The looks of the page."""

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --back: #fdfdfc; --card: #ffffff; --ink: #1d2430; --soft: #5b6472; --line: #d9dde3;
  --s0: #2f6fb3; --s1: #c2591a; --s2: #4b8b3b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14181d; --card: #1b2027; --ink: #e4e8ee; --soft: #a2abb8; --line: #343b45;
    --s0: #6ea8e6; --s1: #eb8f52; --s2: #86c474;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.5rem; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 0.3rem; }
a { color: var(--s0); }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; }
p { max-width: 46rem; margin: 0.5rem 0; }
.soft, figcaption, caption { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 0.7rem; margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 0.4rem; padding: 0.4rem 0.9rem; }
.tiles b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0.8rem; }
figure {
  margin: 0; padding: 0.6rem; max-width: 34rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 0.4rem;
}
figcaption { font-size: 0.9rem; }
.picture { width: 100%; height: auto; display: block; }
.picture text { fill: var(--soft); font-size: 10.5px; font-family: system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: 1; }
.bar.s0, .key.s0 { fill: var(--s0); background: var(--s0); }
.bar.s1, .key.s1 { fill: var(--s1); background: var(--s1); }
.bar.s2, .key.s2 { fill: var(--s2); background: var(--s2); }
.bar.tail { opacity: 0.45; }
.curve { stroke-width: 2; stroke-linejoin: round; }
.curve.s0 { stroke: var(--s0); }
.curve.s1 { stroke: var(--s1); stroke-dasharray: 6 3; }
.curve.s2 { stroke: var(--s2); stroke-dasharray: 2 3; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; margin: 0.2rem 0; font-size: 0.85rem; }
.key { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; border-radius: 2px; }
.share { width: 6rem; height: 0.7rem; background: var(--line); vertical-align: middle; }
.wide { overflow-x: auto; margin: 0.5rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; }
caption { text-align: left; padding: 0.2rem 0; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.7rem 0.2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.text {
  display: block; min-width: 12rem; max-width: 34rem; text-align: start; overflow-wrap: anywhere; white-space: pre-wrap;
}
.note { display: block; min-width: 26rem; }
thead .number { white-space: normal; }
.glyph { font-size: 1.15rem; }
.pieces { overflow-wrap: anywhere; }
.pieces span {
  display: inline-block; max-width: 100%; margin: 0 0.5em 0.2em 0; padding: 0 0.25em; background: var(--card);
  border: 1px solid var(--line);
}
code { overflow-wrap: anywhere; }
details { margin: 0.4rem 0; }
summary { cursor: pointer; color: var(--soft); }
"""
