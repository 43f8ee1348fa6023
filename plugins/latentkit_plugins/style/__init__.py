"""Networks that grow: progressive and style-based generators, style encoders, progressive discriminators."""
