"""agent_executor runs LangGraph agents that arrive as CloudEvents."""

__version__ = "0.1.0"
