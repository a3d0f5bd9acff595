# Sourced by the other scripts: makes .venv with the pinned versions, once per change of pyproject.toml or
# constraints.txt. `ensure_environment` gives what training needs, `ensure_environment dev` the tools as well.
# `ensure_swift` makes .venv-swift, a strict S3 server for the tests, and `ensure_fidelity` .torch-fidelity, the source
# that our Inception network is compared with, and `ensure_chromium` installs Debian's Chromium, which opens the pages;
# without them the tests that need them are skipped.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "satgan needs Python 3.11 or newer; none was found. Install it, or set PYTHON to its path." >&2
  return 1
}

ensure_environment() {
  local extra="${1:+[$1]}" stamp installed python wanted
  stamp=".venv/installed${1:+-$1}"
  wanted=$(cat pyproject.toml constraints.txt satgan/__init__.py | cksum)
  # What has the tools has the rest.
  for installed in "$stamp" .venv/installed-dev; do
    [ "$(cat "$installed" 2>/dev/null)" = "$wanted" ] && return
  done
  echo "setting up .venv (pinned versions; once, a few minutes) …" >&2
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python) || return 1
    "$python" -m venv .venv || {
      rm -rf .venv
      echo "could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
      return 1
    }
  fi
  .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".$extra" || {
    echo "the installation failed (see above); check the network and the free space, then run the same command again" >&2
    return 1
  }
  echo "$wanted" >"$stamp"
}

ensure_swift() {
  local pins=tests/tiles/swift_requirements.txt
  cmp -s "$pins" .venv-swift/installed && return
  echo "setting up .venv-swift (an S3 server for the tests; once, a minute) …" >&2
  if .venv/bin/python -m venv --clear .venv-swift && .venv-swift/bin/python -m pip install --quiet -r "$pins"; then
    cp "$pins" .venv-swift/installed
  else
    echo "no OpenStack Swift (see above): the tests that need it are skipped" >&2
    rm -rf .venv-swift
  fi
}

ensure_fidelity() {
  local pins=tests/judge/fidelity_requirements.txt
  cmp -s "$pins" .torch-fidelity/installed && return
  echo "fetching torch-fidelity's source (for the tests; once, seconds) …" >&2
  rm -rf .torch-fidelity
  # Without all that it requires: no torchvision matches the pinned torch, and the tests stand in for it.
  if .venv/bin/python -m pip install --quiet --no-deps --target .torch-fidelity -r "$pins"; then
    cp "$pins" .torch-fidelity/installed
  else
    echo "no torch-fidelity (see above): the tests that need it are skipped" >&2
    rm -rf .torch-fidelity
  fi
}

ensure_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && return
  done
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Chromium (for the tests of pages; once, a minute) …" >&2
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends chromium >/dev/null && return
  fi
  echo "no Chromium (apt-get install chromium): the tests that need it are skipped" >&2
}
