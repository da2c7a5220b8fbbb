"""Recurrent neural machine translation: text to pieces to models to text."""
