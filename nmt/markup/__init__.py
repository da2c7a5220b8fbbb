"""Tags, placeholders, format codes and code, taken out of a line before translation, put back as they were after it."""
