#!/usr/bin/env bash
# Makes a machine ready for the worker (§11): installs what is missing, looks at everything, and lists what is left to
# do. Safe to run again: what is there is left as it is.
#
#   scripts/bootstrap_machine.sh [--check] [--system NAME] [--venv DIR]
#
#   --check    install nothing, only look
#   --system   this machine's type: n150, n300, lb or one of your own [YT_SYSTEM]
#   --venv     where ytfsm goes (default: .venv in the checkout)
#
# Logins are a person's: the list says which command makes each. Exit codes: 0 ready, 2 usage, 5 not ready.
set -euo pipefail

usage() {
    echo "bootstrap_machine.sh: $1 (see --help)" >&2
    exit 2
}

checking=0
system=()
venv=
while (($#)); do
    case $1 in
        --check) checking=1 ;;
        --system | --venv)
            [ -n "${2:-}" ] || usage "$1 needs a value"
            if [ "$1" = --venv ]; then venv=$2; else system=(--system "$2"); fi
            shift
            ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"
            exit 0
            ;;
        *) usage "unknown argument $1" ;;
    esac
    shift
done
case $venv in "" | /*) ;; *) venv=$PWD/$venv ;; esac
cd "$(dirname "$0")/.."
venv=${venv:-$PWD/.venv}
python=${PYTHON:-python3}
bin=$HOME/.local/bin # where programs go that this script brings

todos=()
warnings=()
todo() { todos+=("$1"); }
warn() { warnings+=("$1"); }
have() { command -v "$1" >/dev/null 2>&1; }
run() {
    echo "\$ $*"
    "$@"
}
quietly() { "$@" >/dev/null 2>&1; }

# --- installing

as_root() {
    if [ "$(id -u)" = 0 ]; then
        run "$@"
    else
        run sudo -n "$@"
    fi
}

may_be_root() { [ "$(id -u)" = 0 ] || { have sudo && quietly sudo -n true; }; }

listed=0
package() { # NAME …: with apt-get, where that needs no password
    if ((checking)) || ! have apt-get || ! may_be_root; then
        return 1
    fi
    if ! ((listed)); then
        as_root apt-get update -qq || true # an old list may still do
        listed=1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"
}

link() { # TARGET NAME: into $bin; another's program is not replaced
    run mkdir -p "$bin"
    if [ -L "$bin/$2" ] || [ ! -e "$bin/$2" ]; then
        run ln -sfn "$1" "$bin/$2"
    fi
}

make_venv() { # FOLDER
    [ -x "$1/bin/python" ] && return
    # Debian keeps venv's other half in a package of its own.
    run "$python" -m venv "$1" || { package python3-venv && run "$python" -m venv "$1"; }
}

python_is_new_enough() { quietly "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; }

ytfsm_is_complete() { # by what scripts/install or this script wrote last: nothing changed since
    local stamp
    for stamp in "$venv/complete" "$venv/bootstrapped"; do
        if [ -x "$venv/bin/ytfsm" ] && [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
            return 0
        fi
    done
    return 1
}

install_ytfsm() {
    wanted=$("$python" scripts/stamp.py)
    if ! ytfsm_is_complete; then
        ((checking)) && return 1
        make_venv "$venv" && run scripts/pip ytfsm "$venv/bin/python" -e . || return 1
        echo "$wanted" >"$venv/bootstrapped"
    fi
    if ! ((checking)) && ! have ytfsm; then
        link "$venv/bin/ytfsm" ytfsm
    fi
}

install_codex() {
    have "${CODEX_BIN:-codex}" && return
    if ((checking)) || [ -n "${CODEX_BIN:-}" ] || ! have npm; then
        return 1
    fi
    run npm install --global --silent @openai/codex && have codex
}

install_tt_smi() { # in an environment of its own: it brings a top-level package `tests`
    have tt-smi && return
    if ((checking)) || ! python_is_new_enough; then
        return 1
    fi
    local folder=${XDG_DATA_HOME:-$HOME/.local/share}/ytfsm/tt-smi
    make_venv "$folder" && run scripts/pip tt-smi "$folder/bin/python" tt-smi && link "$folder/bin/tt-smi" tt-smi
}

# --- §11.1: programs and python packages

have git || package git ||
    todo "git: install it (Debian and Ubuntu: apt-get install git)"
have bwrap || package bubblewrap ||
    todo "bubblewrap: install it (Debian and Ubuntu: apt-get install bubblewrap); codex, pytest and the evaluation run in it"
have gh || package gh ||
    todo "gh: install the GitHub CLI, then: gh auth login -s project"
install_codex ||
    todo "codex: install it (npm install --global @openai/codex) or name it in CODEX_BIN, then: codex login"
install_tt_smi ||
    todo "tt-smi: install it (pip install tt-smi, in an environment of its own) and put it on PATH"

if ! python_is_new_enough; then
    todo "python: ytfsm needs Python 3.10 or newer as $python, or as the one that PYTHON names"
elif ! install_ytfsm; then
    if ((checking)); then
        todo "ytfsm: $venv lacks it or is out of date; run this script without --check"
    else
        todo "ytfsm: it could not be installed in $venv; what pip said stands above"
    fi
fi
case :$PATH: in
    *:"$bin":*) ;;
    *) if [ -e "$bin/ytfsm" ] || [ -e "$bin/tt-smi" ]; then
        todo "PATH: $bin is not on it, and programs were put there: export PATH=\"\$HOME/.local/bin:\$PATH\""
    fi ;;
esac

# --- §11.2 to §11.4: logins and scopes, ttnn, board, disk: what the worker's own preflight looks at

if [ -x "$venv/bin/ytfsm" ]; then
    code=0
    "$venv/bin/ytfsm" doctor ${system[@]+"${system[@]}"} || code=$?
    case $code in
        0) ;;
        5) todo "each line above that begins with \`missing\` has its remedy below it" ;;
        *) todo "ytfsm doctor ended with exit code $code; what it said stands above" ;;
    esac
fi
if [ -z "${HF_TOKEN:-}" ] && [ ! -s "${HF_TOKEN_PATH:-${HF_HOME:-$HOME/.cache/huggingface}/token}" ]; then
    warn "HF_TOKEN is not set: gated models cannot be downloaded, all others can"
fi
if have "${CODEX_BIN:-codex}" && ! quietly "${CODEX_BIN:-codex}" login status; then
    warn "codex is not logged in: run \`codex login\`, unless its own config names a provider that needs no login"
fi

models=git@github.com:${YT_OWNER:-yieldthought}/${YT_REPO_MODELS:-ttnn_models}.git
git_answers() {
    GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND=${GIT_SSH_COMMAND:-ssh -o BatchMode=yes -o ConnectTimeout=10} \
        quietly git ls-remote --heads "$models"
}
if have git && ! git_answers; then
    warn "git cannot read $models, which the worker clones: give the login this machine's SSH key, and see git ls-remote"
fi

for text in ${warnings[@]+"${warnings[@]}"}; do
    echo "warning: $text"
done
if ((${#todos[@]})); then
    echo "this machine is not ready. To do, then run this script again:"
    for text in "${todos[@]}"; do
        echo "  - $text"
    done
    exit 5
fi
echo "this machine is ready"
