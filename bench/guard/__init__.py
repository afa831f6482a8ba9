"""What a message costs, in instructions: a guard against slow loss that is stable on noisy machines."""
