"""From scores to a leaderboard's file: the rules of a challenge, the file, its check, and a rehearsal. No torch."""

from tinkit.submission.answers import Answers, Group, read_answers, read_group
from tinkit.submission.check import CheckReport, check_submission
from tinkit.submission.findings import Problem
from tinkit.submission.ids import IdList, read_ids
from tinkit.submission.ledger import enter_answer, read_ledger
from tinkit.submission.plan import Scored, SubmissionPlan, plan_submission
from tinkit.submission.rehearsal import Rehearsal, rehearse
from tinkit.submission.spec import Challenge, load_challenge
from tinkit.submission.submit import Options, Submission, find_scores, judge_submission, make_submission
from tinkit.submission.write import write_submission

__all__ = [
    "Answers",
    "Challenge",
    "CheckReport",
    "Group",
    "IdList",
    "Options",
    "Problem",
    "Rehearsal",
    "Scored",
    "Submission",
    "SubmissionPlan",
    "check_submission",
    "enter_answer",
    "find_scores",
    "judge_submission",
    "load_challenge",
    "make_submission",
    "plan_submission",
    "read_answers",
    "read_group",
    "read_ids",
    "read_ledger",
    "rehearse",
    "write_submission",
]
