"""The training loop: rounds of images to learn from, steps, validations, exact resume."""
