#!/bin/sh
# The demo's shell pipeline: the ten most frequent words of a text, into a file.
# Usage: pipeline.sh FOLDER (which holds words.txt)
set -eu
cd "$1"
tr -cs '[:alpha:]' '\n' <words.txt | tr '[:upper:]' '[:lower:]' | sort | uniq -c | sort -rn | head -n 10 >top.txt
mv top.txt top-ten.txt
echo "top word: $(head -n 1 top-ten.txt | tr -s ' ')"
