"""Text and its pieces: characters, tokenizers and their training, placeholders, word alignment."""
