"""OpenHands' own agent-server inside the sandbox: the stock arrangement, for those who want it.

The agent and its tools are processes in the container. Ours outside are the door to the model (`door.py`), which
counts, limits and records, and the one who starts the server and waits for its end (`agent.py`).
"""
