"""What thousands of phones, millions of queries and larger images cost: measured constants, and a simulation."""
