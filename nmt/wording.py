"""How amounts, and what has to be installed, are told to people."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many there are: "1 line", "2,000 lines"; `plural` is for a noun that takes more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def install(extra: str) -> str:
    """Say how an optional extra of this package is installed, which no package index has."""
    return f"in a checkout of nmt: pip install '.[{extra}]'"
