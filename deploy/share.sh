#!/bin/sh
# Writes what is made from the program itself: its completions.
#
#   sh deploy/share.sh PROGRAM FOLDER
#
# FOLDER gets bash/tidegate, zsh/_tidegate and fish/tidegate.fish.
set -eu
program=$1 folder=$2
mkdir -p "$folder/bash" "$folder/zsh" "$folder/fish"
"$program" completion bash >"$folder/bash/tidegate"
"$program" completion zsh >"$folder/zsh/_tidegate"
"$program" completion fish >"$folder/fish/tidegate.fish"
