"""Inputs made by chance, for whatever reads what people send; `python -m fuzz PART`."""
