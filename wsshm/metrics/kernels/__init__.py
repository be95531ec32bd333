"""The compiled loops behind the measures: private to `wsshm.metrics`."""
