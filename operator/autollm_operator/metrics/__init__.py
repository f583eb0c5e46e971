"""What Prometheus scrapes: series of runs computed from the cache, counters of the process."""
