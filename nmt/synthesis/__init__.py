"""Pairs that models write: back-translation of text in one language, and what several teachers say."""
