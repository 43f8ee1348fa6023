"""Components by name: the catalogue of what ships, entry points, and the hooks that both go through."""
