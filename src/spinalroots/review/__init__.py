"""A page on this machine on which experts judge predictions and mend them (`spinalroots review`).

:mod:`~spinalroots.review.cases` finds what there is to review, :mod:`~spinalroots.review.drafts`
keeps what a reviewer has entered, :mod:`~spinalroots.review.edits` changes names and voxels of a
map, :mod:`~spinalroots.review.corrected` writes the corrected masks, and
:mod:`~spinalroots.review.desk` is what the page talks to, through
:mod:`~spinalroots.review.server`.
"""
