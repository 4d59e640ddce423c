"""How a worker gets messages: when it polls, how much it claims, and how it acks."""
