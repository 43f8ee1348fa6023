"""The finders of directions that ship, components of kind ``direction``."""
