"""The environment of a lab's clients: what leads them into the lab, and what must not lead them out of it."""

import os

# Logins of the caller's, and settings that lead elsewhere.
STRIPPED = (
    "GITHUB_TOKEN", "GH_HOST", "GH_REPO", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_DEBUG",
    "HF_HOME", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN", "TRANSFORMERS_OFFLINE",
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS",
    "SSH_AUTH_SOCK", "GIT_CONFIG_GLOBAL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_API_KEY",
    "YT_PROJECT_TITLE", "YT_DEVICE", "YT_REFERENCE_CACHE",
)  # fmt: skip


def environment(variables: dict[str, str]) -> dict[str, str]:
    """A whole environment for a lab's clients: ours, without what leads elsewhere, with `variables`."""
    return {name: value for name, value in os.environ.items() if name not in STRIPPED} | variables
