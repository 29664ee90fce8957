"""From a trained CNN to files that phones run: recipes, exporters, the parity gate."""
