"""OpenHands as an agent: a worker process in an environment of its own drives its conversations."""
