"""The networks: cells, encoder, attention, decoder, and the model folder they are kept in."""
