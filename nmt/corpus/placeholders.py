"""Numbers and URLs as [NUM] and [URL], which a model copies by position instead of spelling them out."""

import re
from collections.abc import Sequence
from typing import Final, Literal

Kind = Literal["number", "url"]
Originals = dict[Kind, list[str]]
"""For every kind that was masked, what its placeholders stand for, in order."""

PLACEHOLDERS: Final[dict[Kind, str]] = {"number": "[NUM]", "url": "[URL]"}

# A placeholder that the user typed is masked too: it stands for itself and comes back as it was.
_PATTERNS: Final[dict[Kind, str]] = {
    "url": r"(?P<url>\[URL\]|(?<!\w)(?i:https?://|www\.)\S*[^\s.,;:!?'\"»)\]}>…])",
    "number": r"(?P<number>\[NUM\]|(?<!\w)(?<!\d[.,:])\d++(?:[.,:]\d++)*+(?!\w))",
}


def mask(text: str, kinds: Sequence[Kind]) -> tuple[str, Originals]:
    """Replace what is of one of `kinds` by its placeholder; a number inside a masked URL belongs to the URL."""
    originals: Originals = {kind: [] for kind in PLACEHOLDERS if kind in kinds}

    def replace(match: re.Match[str]) -> str:
        kind: Kind = "url" if match.lastgroup == "url" else "number"
        originals[kind].append(match[0])
        return PLACEHOLDERS[kind]

    patterns = [pattern for kind, pattern in _PATTERNS.items() if kind in kinds]
    return (re.sub("|".join(patterns), replace, text) if patterns else text), originals


def mask_pair(src: str, tgt: str, kinds: Sequence[Kind]) -> tuple[str, str]:
    """Mask a training pair, but leave a kind as it is unless both sides hold the same of it in the same order."""
    while True:
        masked_src, in_src = mask(src, kinds)
        masked_tgt, in_tgt = mask(tgt, kinds)
        if in_src == in_tgt:
            return masked_src, masked_tgt
        kinds = [kind for kind in in_src if in_src[kind] == in_tgt[kind]]


def unmask(text: str, originals: Originals) -> str:
    """Put the originals of each kind back in order; placeholders beyond the last one are removed."""
    if not originals:
        return text
    kinds = {PLACEHOLDERS[kind]: kind for kind in originals}
    waiting = {kind: iter(texts) for kind, texts in originals.items()}
    surplus = False

    def replace(match: re.Match[str]) -> str:
        nonlocal surplus
        original = next(waiting[kinds[match["placeholder"]]], None)
        if original is None:
            surplus = True
            return ""
        return match["space"] + original

    pattern = f"(?P<space> ?)(?P<placeholder>{'|'.join(map(re.escape, kinds))})"
    filled = re.sub(pattern, replace, text)
    return filled.strip() if surplus else filled
