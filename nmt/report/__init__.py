"""What there is to say of prepared data, runs and translations, as a page and pictures."""
