"""Networks that grow: style-based generators and encoders, progressive discriminators."""
