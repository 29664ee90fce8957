"""What a copycat gives its thief beyond labels: adversarial examples, explanations, confidence."""
