"""Terms of a loss that both families of networks are trained with."""
