"""The programs at git's far end: what stands for ssh on the client's side, and the hooks of each bare repository.

They are told what to do by small files in the bare repository, which `Git` writes.
"""

PUSHED = "lab-pushed"  # a file in each bare repository that its hook touches after every push
LARGEST = 100 << 20  # bytes of a file that GitHub takes

# In ssh's place: git runs it with options, a host, and one word that is the command for the far end.
SSH = """#!/bin/sh
# git's way to the lab's GitHub, which answers as git@github.com does: a repository that is not there, a key that may
# only read (`lab-denied` in the bare repository holds the words), or the program that git asks for. While `git-away`
# beside this file counts, nobody answers.
for asked; do :; done
away="$(dirname "$0")/git-away"
left=$(cat "$away" 2>/dev/null || echo 0)
if [ "$left" -gt 0 ]; then
    echo $((left - 1)) > "$away"
    echo "ssh: connect to host github.com port 22: Connection timed out" >&2
    exit 255
fi
case "$asked" in
git-*) eval "set -- $asked" ;;
*)
    echo "Hi yt-bot! You've successfully authenticated, but GitHub does not provide shell access." >&2
    exit 1 ;;
esac
bare="$(dirname "$0")/git/${2#/}"
bare="${bare%.git}.git"
if [ ! -d "$bare" ]; then
    echo "ERROR: Repository not found." >&2
    exit 1
fi
if [ "$1" = git-receive-pack ] && [ -s "$bare/lab-denied" ]; then
    cat "$bare/lab-denied" >&2
    exit 1
fi
# A real far end knows nothing of the client's settings.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR \\
    GIT_PREFIX GIT_CONFIG GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS GIT_NAMESPACE GIT_NO_REPLACE_OBJECTS
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
exec git -c safe.directory='*' -c gc.auto=0 "${1#git-}" "$bare"
"""

_PRE_RECEIVE = f"""#!/bin/sh
# No file above `lab-largest` bytes (GitHub's own limit unless it says so) comes in by a push.
most=$(cat "$GIT_DIR/lab-largest" 2>/dev/null || echo {LARGEST})
new=
while read -r old sha ref; do
    case "$sha" in *[!0]*) new="$new $sha" ;; esac
done
[ -n "$new" ] || exit 0
large=$(git rev-list --objects $new --not --all |
    git cat-file --batch-check='%(objecttype) %(objectsize) %(rest)' |
    awk -v most="$most" '$1 == "blob" && $2 > most {{
        size = sprintf("%.2f MB", $2 / 1048576); limit = sprintf("%.2f MB", most / 1048576)
        sub(/^[^ ]* [^ ]* /, "")
        print "error: File " $0 " is " size "; this exceeds GitHub'"'"'s file size limit of " limit }}')
[ -n "$large" ] || exit 0
echo "error: See https://gh.io/lfs for more information." >&2
echo "$large" >&2
echo "error: GH001: Large files detected. You may want to try Git Large File Storage - https://git-lfs.github.com." >&2
exit 1
"""

_UPDATE = """#!/bin/sh
# While `lab-refuse` counts, no push passes; a branch that `lab-protected` lists (one pattern a line) takes none ever,
# nor does one of `lab-ruled`, which a ruleset refuses.
left=$(cat "$GIT_DIR/lab-refuse" 2>/dev/null || echo 0)
if [ "$left" -gt 0 ]; then
    echo $((left - 1)) > "$GIT_DIR/lab-refuse"
    echo "error: internal server error" >&2
    exit 1
fi
touch "$GIT_DIR/lab-protected" "$GIT_DIR/lab-ruled"
repo="$(basename "$(dirname "$PWD")")/$(basename "$PWD" .git)"
while read -r pattern; do
    case "$1" in
    refs/heads/$pattern)
        echo "error: GH013: Repository rule violations found for $1." >&2
        ref=$(echo "$1" | sed 's,/,%2F,g')
        echo "Review all repository rules at https://github.com/$repo/rules?ref=$ref" >&2
        echo >&2
        echo "- Cannot create ref due to creations being restricted." >&2
        exit 1 ;;
    esac
done < "$GIT_DIR/lab-ruled"
while read -r pattern; do
    case "$1" in
    refs/heads/$pattern)
        echo "error: GH006: Protected branch update failed for $1." >&2
        echo "error: Changes must be made through a pull request." >&2
        exit 1 ;;
    esac
done < "$GIT_DIR/lab-protected"
"""

_POST_RECEIVE = f"""#!/bin/sh
# Tells the lab's GitHub which branches moved; then, while `lab-drop` counts, breaks the client's connection.
while read -r old new ref; do echo "$(date +%s) $old $new $ref" >> "$GIT_DIR/{PUSHED}"; done
left=$(cat "$GIT_DIR/lab-drop" 2>/dev/null || echo 0)
[ "$left" -gt 0 ] || exit 0
echo $((left - 1)) > "$GIT_DIR/lab-drop"
kill -KILL $PPID
"""

HOOKS = {"pre-receive": _PRE_RECEIVE, "update": _UPDATE, "post-receive": _POST_RECEIVE}
