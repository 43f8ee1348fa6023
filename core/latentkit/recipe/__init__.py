"""Recipes: reading TOML, merging with what they extend, and structuring into frozen values."""
