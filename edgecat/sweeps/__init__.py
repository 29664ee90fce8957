"""Sweeps: a grid of runs, each done once, over several devices and machines.

The road inside the package: `sweep_file` reads SWEEP.toml (`pools` its devices), `jobs` says what each job means and
which mean the same, `places` is where everything stands, `steps` says which pieces of work there are, `work` (and
`job_work`) does one, `schedule` decides which comes next and on which device, `executors` and `on_ray` carry it out,
`running` puts them together, `telling` shows what became of it.
"""
