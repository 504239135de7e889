"""What runs inside a worker: Python 3.12, OpenHands' SDK, and of TAC-RL only what needs nothing else."""
