"""The grader: read a submission, call its answers in a cage, judge what comes back, write the marks down.

`extract` reads, `sandbox` cages, `worker` calls, `marks` judges, `report` writes. What students wrote runs only in
the worker's children; only `marks` knows the salt.
"""
