from ..prepare.conftest import corpus, make_settings, pairs, write

__all__ = ["corpus", "make_settings", "pairs", "write"]
