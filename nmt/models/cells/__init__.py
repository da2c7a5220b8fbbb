"""Recurrent layers, a cell in each file: whole sequences at once, single steps by the same weights and equations."""
