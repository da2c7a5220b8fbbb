"""Vocabulary selection: a lexicon, learnt from a model's attention, says which target pieces a source calls for."""
