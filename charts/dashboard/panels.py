"""What is worth plotting of the metrics: the panels of the Grafana dashboard and of the page in the documentation, query by query."""

from __future__ import annotations

from typing import Literal, NamedTuple

Unit = Literal["score", "weight", "count", "seconds", "hours", "per second"]
Kind = Literal["lines", "stacked", "bars", "table", "by trial"]

RUN = 'namespace=~"$namespace", run=~"$run"'
"""The selection of the dashboard's variables, which every query of runs carries."""

ENDED = 'state=~"succeeded|failed"'


class Query(NamedTuple):
    """A PromQL expression, and what one of its series is called: {{label}} is replaced."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A plot over time; of bars and tables, of the latest values; by trial, over what the first query counts. `width`: of 24."""

    title: str
    description: str
    kind: Kind
    unit: Unit
    queries: tuple[Query, ...]
    width: int = 12


class Section(NamedTuple):
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


def of_run(metric: str, *labels: str, matching: str = "") -> str:
    """Return the values of a metric by run and further labels; replicas of the operator tell the same, so the largest is taken."""
    matchers = f"{RUN}, {matching}" if matching else RUN
    return f"max by ({', '.join(('namespace', 'run', *labels))}) ({metric}{{{matchers}}})"


def quantile(metric: str, *labels: str, matching: str = "") -> str:
    """Return the 95th percentile of a histogram over the rate interval."""
    return f"histogram_quantile(0.95, sum by ({', '.join(('le', *labels))}) (rate({metric}_bucket{{{matching}}}[$__rate_interval])))"


_SEARCH = Section(
    "Search",
    (
        Panel(
            "Convergence",
            "The incumbent's score, and that of the trial that ended last, on the search split.",
            "lines",
            "score",
            (
                Query(of_run("autollm_run_best_score"), "{{namespace}}/{{run}} best"),
                Query(of_run("autollm_run_last_score"), "{{namespace}}/{{run}} last"),
            ),
        ),
        Panel(
            "Convergence by trial",
            "The same over the number of trials that have ended; choose a single run.",
            "by trial",
            "score",
            (
                Query(f"sum({of_run('autollm_run_trials', 'state', matching=ENDED)})", "trials"),
                Query(of_run("autollm_run_best_score"), "{{namespace}}/{{run}} best"),
                Query(of_run("autollm_run_last_score"), "{{namespace}}/{{run}} last"),
            ),
        ),
        Panel(
            "Weights of the incumbent",
            "By which weight the best candidate so far adds each delta.",
            "lines",
            "weight",
            (Query(of_run("autollm_run_weight", "delta"), "{{run}} {{delta}}"),),
            24,
        ),
        Panel(
            "Trials",
            "Trials of the present search by state.",
            "stacked",
            "count",
            (Query(of_run("autollm_run_trials", "state"), "{{run}} {{state}}"),),
            8,
        ),
        Panel(
            "Who chose the candidates",
            "Start points, the optimiser, or, where it failed or took too long, chance (Fallback).",
            "stacked",
            "count",
            (Query(of_run("autollm_run_candidates", "optimizer"), "{{run}} {{optimizer}}"),),
            8,
        ),
        Panel(
            "Time of a trial",
            "Writing the merged weights and scoring the items: the mean, and what 95 of 100 do not exceed.",
            "lines",
            "seconds",
            (
                Query(
                    f"{of_run('autollm_trial_duration_seconds_sum', 'split')} / {of_run('autollm_trial_duration_seconds_count', 'split')}",
                    "{{run}} {{split}} mean",
                ),
                Query(
                    f"histogram_quantile(0.95, {of_run('autollm_trial_duration_seconds_bucket', 'split', 'le')})",
                    "{{run}} {{split}} 95 %",
                ),
            ),
            8,
        ),
    ),
)

_RESULTS = Section(
    "Results on the test split",
    (
        Panel(
            "Score by row",
            "Base, single deltas, baselines and the winner on items that the search never saw.",
            "bars",
            "score",
            (Query(of_run("autollm_run_test_score", "row"), "{{run}} {{row}}"),),
        ),
        Panel(
            "Results table",
            "The score with its standard error, and by how much the winner is ahead with its 95 % interval.",
            "table",
            "score",
            (
                Query(of_run("autollm_run_test_score", "row"), "score"),
                Query(of_run("autollm_run_test_standard_error", "row"), "standard error"),
                Query(of_run("autollm_run_lead", "row"), "winner ahead"),
                Query(of_run("autollm_run_lead_low", "row"), "from"),
                Query(of_run("autollm_run_lead_high", "row"), "to"),
            ),
        ),
    ),
)

_WORK = Section(
    "Deltas and work",
    (
        Panel(
            "Deltas",
            "Deltas by where they come from; a reused one was found in the artifacts and cost nothing.",
            "stacked",
            "count",
            (Query(of_run("autollm_run_deltas", "state"), "{{run}} {{state}}"),),
            8,
        ),
        Panel(
            "Loss of running trainings",
            "The latest loss that each training reported.",
            "lines",
            "score",
            (Query(of_run("autollm_run_training_loss", "delta"), "{{run}} {{delta}}"),),
            8,
        ),
        Panel(
            "Tokens per second",
            "How fast each training is.",
            "lines",
            "per second",
            (Query(of_run("autollm_run_training_tokens_per_second", "delta"), "{{run}} {{delta}}"),),
            8,
        ),
        Panel(
            "Jobs",
            "Jobs by task and state; a suspended one waits in a queue, a waiting one for a node.",
            "lines",
            "count",
            (Query(of_run("autollm_run_jobs", "task", "state"), "{{run}} {{task}} {{state}}"),),
            6,
        ),
        Panel(
            "Failed pods",
            "Failed pods of Jobs that go on, by cause: such Jobs start another pod.",
            "lines",
            "count",
            (Query(of_run("autollm_run_failed_pods", "task", "cause"), "{{run}} {{task}} {{cause}}"),),
            6,
        ),
        Panel(
            "GPUs held",
            "GPUs of pods that run now, whether they compute or wait.",
            "stacked",
            "count",
            (Query(of_run("autollm_run_gpus", "task"), "{{run}} {{task}}"),),
            6,
        ),
        Panel(
            "GPU hours",
            "GPU hours that went into finished trainings and trials.",
            "stacked",
            "hours",
            (Query(of_run("autollm_run_gpu_hours", "work"), "{{run}} {{work}}"),),
            6,
        ),
    ),
)

_OPERATOR = Section(
    "Operator",
    (
        Panel(
            "Queue",
            "Objects that are due to be looked at, and for how long the one that waits longest has been.",
            "lines",
            "count",
            (Query("max(autollm_queue_depth)", "objects"), Query("max(autollm_queue_oldest_seconds)", "oldest, seconds")),
            8,
        ),
        Panel(
            "Time of a pass",
            "What 95 of 100 looks at an object do not exceed.",
            "lines",
            "seconds",
            (Query(quantile("autollm_reconcile_duration_seconds", "kind"), "{{kind}}"),),
            8,
        ),
        Panel(
            "Errors",
            "Passes that ended in an error; they are tried again.",
            "lines",
            "per second",
            (Query("sum by (kind, reason) (rate(autollm_reconcile_errors_total[$__rate_interval]))", "{{kind}} {{reason}}"),),
            8,
        ),
        Panel(
            "Time of a suggestion",
            "What 95 of 100 suggestions of a candidate do not exceed.",
            "lines",
            "seconds",
            (Query(quantile("autollm_suggest_duration_seconds", "fallback"), "fallback {{fallback}}"),),
            8,
        ),
        Panel(
            "Requests to the API server",
            "By verb and answer; code 0: none came.",
            "lines",
            "per second",
            (Query("sum by (verb, code) (rate(autollm_api_requests_total[$__rate_interval]))", "{{verb}} {{code}}"),),
            8,
        ),
        Panel(
            "Deltas that were reused",
            "Trainings that were saved since each run began.",
            "lines",
            "count",
            (Query(of_run("autollm_reused_deltas_total"), "{{namespace}}/{{run}}"),),
            8,
        ),
    ),
)

SECTIONS = (_SEARCH, _RESULTS, _WORK, _OPERATOR)
