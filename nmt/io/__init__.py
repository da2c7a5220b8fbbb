"""Files that are whole or absent, compressed files, lines as they arrive, and worker processes."""
