"""Lines that are too long to be taken at once, as sections: all but the last say that the line goes on."""

from io import BytesIO

from nmt.corpus.sources.compressed import SECTION_BYTES, BegunBytes, read_sections


class Begun(str):
    """A section of a line that goes on with what comes next."""

    __slots__ = ()


def sections_of(line: str) -> list[str]:
    """Cut a line as `read_sections` does."""
    if len(line) * 4 < SECTION_BYTES:
        return [line]
    raw = read_sections(BytesIO(line.replace("\n", " ").encode(errors="surrogatepass")).readline)
    texts = [(type(data), data.decode(errors="surrogatepass")) for data in raw]
    return [Begun(text) if kind is BegunBytes else text for kind, text in texts]
