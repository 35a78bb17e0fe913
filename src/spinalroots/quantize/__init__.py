"""Smaller and faster exports of the trained networks, and what they cost in Dice.

`cases` reads training patches and whole scans, `export` writes, `int8` keeps sensitive layers in
high precision, `measure` times one export in a fresh process, `rows` makes tables of it
and recommends one, and `compare` does all of that for one model.
"""
