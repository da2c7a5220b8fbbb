"""The `nmt` command: thin layers that read options, call the library and show the result."""
