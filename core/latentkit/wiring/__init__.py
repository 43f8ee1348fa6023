"""From a recipe to a graph: names to nodes, equal sub-expressions to one node, sizes along every edge."""
