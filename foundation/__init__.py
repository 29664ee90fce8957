"""The ground floor: the records and rules that every stage of the road shares.

What travels between stages (artefact manifests, answers) and what all of them owe the user (errors with a hint,
files that are never half-written, progress) stands here, so that no stage has to import another for it.
`foundation.errors` and `foundation.answers` need only the standard library and numpy: they also
travel to the device inside the runner.
"""
