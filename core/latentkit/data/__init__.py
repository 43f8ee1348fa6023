"""Built-in data sources: files, folders, arrays and pictures made by code. None of them imports torch."""
