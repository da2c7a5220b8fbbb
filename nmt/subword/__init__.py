"""Text to pieces and back: SentencePiece models (Kudo and Richardson, 2018), trained and loaded."""

from nmt.subword.adopting import adopt_model, load_any
from nmt.subword.proto import Kind
from nmt.subword.tokenizer import (
    JOINT_MODEL,
    SRC_MODEL,
    TGT_MODEL,
    Tokenizer,
    Tokenizers,
    find_tokenizer,
    load_tokenizers,
    tokenizer_files,
)
from nmt.subword.training import VocabularyTooLargeError, train_tokenizer

__all__ = [
    "JOINT_MODEL",
    "SRC_MODEL",
    "TGT_MODEL",
    "Kind",
    "Tokenizer",
    "Tokenizers",
    "VocabularyTooLargeError",
    "adopt_model",
    "find_tokenizer",
    "load_any",
    "load_tokenizers",
    "tokenizer_files",
    "train_tokenizer",
]
