"""The series that a run has: their names, what they mean, and the labels they carry beside namespace and run. Never a trial's name."""

from __future__ import annotations

from typing import Final, NamedTuple


class Series(NamedTuple):
    """One metric of runs; `labels` come after namespace and run."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One value of a run: its series, the values of the series' own labels, and the number."""

    series: Series
    labels: tuple[str, ...]
    value: float


INFO: Final = Series(
    "autollm_run_info",
    "Always 1; stage: the reason of the condition Reconciling; revision: what the run published last.",
    ("stage", "revision"),
)
CONDITION: Final = Series("autollm_run_condition", "1 for the status that a condition has, 0 for the two others.", ("type", "status"))
CONDITION_TIME: Final = Series("autollm_run_condition_timestamp_seconds", "When the status of a condition changed last.", ("type",))
RECORDS: Final = Series("autollm_run_records", "Records that are used, and those that were dropped.", ("state",))
CHUNKS: Final = Series("autollm_run_chunks", "Chunks that the records were cut into.")
DELTAS: Final = Series(
    "autollm_run_deltas",
    "Deltas that the run needs: imported ready-made, reused from the artifacts, trained, failed, or pending.",
    ("state",),
)
TRIALS: Final = Series("autollm_run_trials", "Trials of the present search: succeeded, failed or running.", ("state",))
TRIALS_ASKED: Final = Series("autollm_run_trials_asked", "Trials that search.trials asks for.")
BEST: Final = Series("autollm_run_best_score", "The incumbent's score on the search split, between 0 and 1.")
BEST_ERROR: Final = Series("autollm_run_best_standard_error", "The standard error of the incumbent's score.")
LAST: Final = Series("autollm_run_last_score", "The score of the search's trial that ended last.")
LAST_TIME: Final = Series("autollm_run_last_trial_timestamp_seconds", "When a trial was made or came to its end last.")
WEIGHT: Final = Series(
    "autollm_run_weight", "The weight of a delta in the incumbent; beyond 64 the smallest are summed as (others).", ("delta",)
)
CANDIDATES: Final = Series("autollm_run_candidates", "Trials of the present search by who chose the candidate.", ("optimizer",))
BY_HAND: Final = Series(
    "autollm_run_trials_by_hand",
    "Trials that somebody made by hand for the run: succeeded, failed or running; no other series has them.",
    ("state",),
)
BY_HAND_SCORE: Final = Series(
    "autollm_run_by_hand_last_score", "The score of the trial made by hand that ended last on a split, between 0 and 1.", ("split",)
)
TEST: Final = Series("autollm_run_test_score", "The score of a row of the results table on the test split.", ("row",))
TEST_ERROR: Final = Series("autollm_run_test_standard_error", "The standard error of a row's score on the test split.", ("row",))
LEAD: Final = Series("autollm_run_lead", "By how much the winner is ahead of a row on the test split.", ("row",))
LEAD_LOW: Final = Series("autollm_run_lead_low", "The lower end of the lead's 95 % interval.", ("row",))
LEAD_HIGH: Final = Series("autollm_run_lead_high", "The upper end of the lead's 95 % interval.", ("row",))
REVISION: Final = Series("autollm_run_published_revision", "The number of the revision that the run published last: 7 for r7.")
GPU_HOURS: Final = Series(
    "autollm_run_gpu_hours",
    "GPU hours of finished work that gave a result: the time of trainings and of trials × the GPUs that their pods ask for, "
    "those of trials as the run says now. What failed, was stopped or reused is not in it.",
    ("work",),
)
GPUS: Final = Series("autollm_run_gpus", "GPUs of the pods that run now, whether they compute or wait.", ("task",))
JOBS: Final = Series(
    "autollm_run_jobs", "Jobs by what they do and how far they are: suspended, waiting, running, complete, failed.", ("task", "state")
)
FAILED_PODS: Final = Series(
    "autollm_run_failed_pods",
    "Failed pods of Jobs that go on, by cause: unavailable (a server did not answer), disrupted (evicted, preempted, or its node "
    "was lost), memory, other.",
    ("task", "cause"),
)
STEP: Final = Series("autollm_run_training_step", "Steps that a running training has done.", ("delta",))
STEPS: Final = Series("autollm_run_training_steps", "Steps that a running training has to do in all.", ("delta",))
LOSS: Final = Series("autollm_run_training_loss", "The latest loss of a running training.", ("delta",))
TOKENS: Final = Series("autollm_run_training_tokens_per_second", "How fast a running training is.", ("delta",))

RUN_SERIES: Final = (
    *(INFO, CONDITION, CONDITION_TIME, RECORDS, CHUNKS, DELTAS, TRIALS, TRIALS_ASKED, BEST, BEST_ERROR, LAST, LAST_TIME, WEIGHT),
    *(
        CANDIDATES,
        BY_HAND,
        BY_HAND_SCORE,
        TEST,
        TEST_ERROR,
        LEAD,
        LEAD_LOW,
        LEAD_HIGH,
        REVISION,
        GPU_HOURS,
        GPUS,
        JOBS,
        FAILED_PODS,
        STEP,
        STEPS,
        LOSS,
        TOKENS,
    ),
)

TRIAL_SECONDS: Final = "autollm_trial_duration_seconds"
REUSED_DELTAS: Final = "autollm_reused_deltas"

MOST_DELTAS: Final = 64
MOST_ROWS: Final = 64
"""Of one run, so that no run fills Prometheus' memory."""

OTHERS: Final = "(others)"
"""Stands for the deltas beyond the bound; no delta can have this name."""
