"""Smaller and faster exports of the trained networks, and what they cost in Dice.

`variants` says which pairs of precision and runtime exist, `calibrate` picks training patches,
`export` writes, `runtimes` runs, `accuracy` keeps sensitive layers in high precision, `measure`
times one export in a fresh process, `compare` makes tables of it and `choose` recommends one.
"""
