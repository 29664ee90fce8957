"""Attacks that read patients back from what split learning lets out, and how well they do.

`attacks.attack_split` runs any of them by name; docs/inversion.md says what each assumes.
"""
