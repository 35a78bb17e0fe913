"""A network that knows the anatomy: CSF, cord, all roots, and which root each is.

It learns from phantoms alone. Samples are whole squares with their neighbours; each is bent,
recoloured and spoiled on the fly, a batch at a time. Every drawing function returns plain tensors,
every applying one is pure.
"""
