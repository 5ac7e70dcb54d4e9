#!/usr/bin/env python3
"""Replaces `sacct -o JobID,State,NodeList --parsable2 -j ID ...` on a test cluster without an accounting database.

A link to this file named `sacct`, first on PATH, answers from what `scontrol` remembers of finished jobs. submitit
polls sacct, and without an answer waits for a canceled job forever.
"""

import argparse
import re
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("-o", "--format", default="JobID,State,NodeList")
parser.add_argument("-P", "--parsable2", action="store_true")
parser.add_argument("-j", "--jobs", action="append", default=[])
arguments = parser.parse_args()

columns = arguments.format.split(",")
print("|".join(columns))
for job in ",".join(arguments.jobs).split(","):
    shown = subprocess.run(["scontrol", "show", "job", "-o", job.split(".")[0]], capture_output=True, text=True)
    for line in shown.stdout.splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        if "JobId" not in fields:
            continue
        identity, state = fields["JobId"], fields["JobState"]
        if "ArrayJobId" in fields:
            task = fields["ArrayTaskId"]  # a number, or the tasks that still wait, such as 3-7
            identity = f"{fields['ArrayJobId']}_{task if task.isdigit() else f'[{task}]'}"
        if state == "PENDING" and fields.get("Restarts", "0") != "0":
            state = "REQUEUED"
        nodes = fields.get("NodeList", "").replace("(null)", "")
        values = {"JobID": identity, "State": state, "NodeList": nodes, "ExitCode": fields.get("ExitCode", "")}
        print("|".join(values.get(column, "") for column in columns))
