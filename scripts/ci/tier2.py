"""What tier 2 decides, for run-integration-tests.sh, whose head says how to call that.

tier2.py list [OPTION… SERVICE…]      print the services, or the jobs of a workflow's matrix
tier2.py check [OPTION… SERVICE…]     refuse what cannot be run
tier2.py secrets [OPTION… SERVICE]    refuse what has no secrets of its own
tier2.py run [OPTION… SERVICE…]       run them

It needs nothing but Python, and imports little: its start is a part of every run.
"""

import sys

import plan


def main(question: str, *words: str) -> int:
    """Answer; return the exit code."""
    known = plan.services()
    if question == "list":
        plan.answer(known, *words)
    elif question == "secrets":
        plan.refuse_without_one(known, *words)
    else:
        services, at_once = plan.chosen(known, *words)
        plan.refuse_without_key()
        if question == "run":
            import sidebyside

            return sidebyside.run(services, at_once)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except plan.Refused as refused:
        plan.tell(str(refused))
        sys.exit(refused.exit_code)
