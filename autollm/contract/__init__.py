"""The worker contract: task documents, exit codes, reports, and where artifacts lie. Shared by planner, engines and workers."""
