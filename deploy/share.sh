#!/bin/sh
# Writes what is made from the program itself: its completions and its man pages.
#
#   sh deploy/share.sh PROGRAM FOLDER
#
# FOLDER gets bash/tidegate, zsh/_tidegate, fish/tidegate.fish and man/tidegate*.1.
set -eu
program=$1 folder=$2
mkdir -p "$folder/bash" "$folder/zsh" "$folder/fish" "$folder/man"
"$program" completion bash >"$folder/bash/tidegate"
"$program" completion zsh >"$folder/zsh/_tidegate"
"$program" completion fish >"$folder/fish/tidegate.fish"
"$program" man "$folder/man"
