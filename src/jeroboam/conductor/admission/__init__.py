"""Whether a wish can be carried out, asked before it is stored."""
