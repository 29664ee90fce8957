"""Answers that teach a thief less: what each policy costs its honest user, and one that only a host can apply."""
