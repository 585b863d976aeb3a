"""The agent: its definition, checked; its graph, its nodes, the model and the tools they call; one execution."""
