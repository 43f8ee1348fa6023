"""What can be composed with what: the axes of the matrix, its cells, their verdicts, a covering sample, trials."""
