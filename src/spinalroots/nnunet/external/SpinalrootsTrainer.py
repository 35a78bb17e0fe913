"""nnU-Net looks for a trainer by its name in the folder `nnUNet_extTrainer`: this is that file."""

from spinalroots.nnunet.trainer import SpinalrootsTrainer

__all__ = ["SpinalrootsTrainer"]
