"""The special ids, in one place: every tokenizer model that `nmt prepare` trains numbers them this way."""

from typing import Final

PAD: Final = 0
UNK: Final = 1
BOS: Final = 2
EOS: Final = 3

PAD_PIECE: Final = "<pad>"
UNK_PIECE: Final = "<unk>"
BOS_PIECE: Final = "<s>"
EOS_PIECE: Final = "</s>"
