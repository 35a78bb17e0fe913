"""Writing files so that a reader, or a kill -9, never sees half of one, and no one's file is lost.

Into a person's folder through :func:`files_together`, which adds to what is there; a folder of the
pipeline's own through :func:`folder_in_one_piece`, which replaces it. Both leave a list of what
they wrote in the folder itself (``.spinalroots``), so that later runs know their own files from a
person's wherever the folder is moved. What a killed run left is tidied up by the next one there.
"""

from spinalroots.files.folders import folder_in_one_piece, tidied
from spinalroots.files.single import (
    alone,
    read_json,
    sha256,
    write_bytes,
    write_json,
    write_table,
    write_text,
)
from spinalroots.files.together import files_together, require_free

__all__ = [
    "alone",
    "files_together",
    "folder_in_one_piece",
    "read_json",
    "require_free",
    "sha256",
    "tidied",
    "write_bytes",
    "write_json",
    "write_table",
    "write_text",
]
