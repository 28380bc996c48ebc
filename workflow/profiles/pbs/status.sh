#!/bin/sh
# Tells Snakemake what became of a PBS job: `status.sh JOB` prints running, success or failed.
state=$(qstat -x -f "$1" 2> /dev/null | sed -n 's/^ *job_state = //p')
code=$(qstat -x -f "$1" 2> /dev/null | sed -n 's/^ *Exit_status = //p')
case "$state" in
    Q | R | H | W | E | S | T | B | U | M) echo running ;;
    *) if [ "$code" = 0 ]; then echo success; else echo failed; fi ;;
esac
