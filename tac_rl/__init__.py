"""TAC-RL: train one local model, by reinforcement learning, to do professional work inside a company."""
