"""The thief: oracle protocol, query budget, ledger, pools, strategies, copycat training, fidelity."""
