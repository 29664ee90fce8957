"""The stages of the road, one function each: what the commands call, what `run` walks, what Python may call too.

Each takes what the stage before it gave and gives a record of what it measured.
"""
