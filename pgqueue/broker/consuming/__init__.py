"""How a worker gets messages: when it polls, how much it claims, and what it acks."""
