"""From scores to a leaderboard's file: the rules of a challenge, the file, its check, and a rehearsal. No torch."""

from tinkit.submission.check import CheckReport, check_submission
from tinkit.submission.findings import Problem
from tinkit.submission.ids import IdList, read_ids
from tinkit.submission.plan import SubmissionPlan, plan_submission
from tinkit.submission.rehearsal import Answers, Rehearsal, read_answers, rehearse
from tinkit.submission.spec import Challenge, load_challenge
from tinkit.submission.submit import Submission, find_scores, judge_submission, make_submission
from tinkit.submission.write import write_submission

__all__ = [
    "Answers",
    "Challenge",
    "CheckReport",
    "IdList",
    "Problem",
    "Rehearsal",
    "Submission",
    "SubmissionPlan",
    "check_submission",
    "find_scores",
    "judge_submission",
    "load_challenge",
    "make_submission",
    "plan_submission",
    "read_answers",
    "read_ids",
    "rehearse",
    "write_submission",
]
